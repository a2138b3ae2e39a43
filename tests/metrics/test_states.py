"""No metric depends on how its pictures are batched, padded, sharded or merged."""

import re

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from vision_banana.metrics import (
    calibration,
    depth,
    preference,
    presence,
    segmentation,
    surface_normals,
)

PICTURES = 8
SIZE = (PICTURES, 4, 5)


def _cases():
    rng = np.random.default_rng(0)
    valid = rng.random(SIZE) < 0.8
    metres = rng.uniform(0, 12, (2, *SIZE)).astype(np.float32)
    vectors = rng.normal(size=(2, *SIZE, 3)).astype(np.float32)
    ids = rng.integers(0, 4, (2, *SIZE))
    votes = rng.integers(-1, 2, (PICTURES, 4))
    yield "mean_iou", segmentation.mean_iou(4), ids, {"valid": valid}
    yield "region_iou", segmentation.region_iou(), ids > 1, {"ignore": ~valid}
    yield "instance_f1", segmentation.instance_f1(0.3), ids, {"valid": valid}
    yield "angular_errors", surface_normals.angular_errors(), vectors, {"valid": valid}
    for align in depth.ALIGNMENTS:
        metric = depth.depth_errors(0.5, 10, align=align)
        yield f"depth_errors-{align}", metric, metres, {"valid": valid}
    sure = rng.random(SIZE).astype(np.float32)
    yield "calibration", calibration.calibration(), (sure, ids[0] > 1), {"valid": valid}
    yield "presence", presence.presence(), ids[:, :, 0, 0] > 1, {}
    known = rng.random((PICTURES, 4)) < 0.8
    yield "pairwise_win_rate", preference.pairwise_win_rate(), (votes,), {"valid": known}


CASES = {name: case for name, *case in _cases()}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def _update(metric, arrays, extras, part=slice(None)):
    rows = {name: x[part] for name, x in extras.items()}
    return metric.update(metric.init(), *(x[part] for x in arrays), **rows)


def _agree(metric, a, b):
    whole, other = metric.compute(a), metric.compute(b)
    assert not np.isnan(list(whole.values())).any()
    assert other == pytest.approx(whole, rel=1e-12, abs=1e-14)


def test_batches_of_one_two_and_three_in_any_order(case):
    metric, arrays, extras = case
    whole = _update(metric, arrays, extras)
    parts = [slice(0, 1), slice(1, 3), slice(3, 6), slice(6, 8)]
    states = [_update(metric, arrays, extras, part) for part in parts]
    left, right = states[0], states[3]
    for state in states[1:]:
        left = metric.merge(left, state)
    for state in (states[1], states[0], states[2], metric.init()):
        right = metric.merge(state, right)
    _agree(metric, whole, left)
    _agree(metric, whole, right)
    in_turn = metric.init()
    for i in range(PICTURES):
        rows = {name: x[i] for name, x in extras.items()}  # without a batch dimension
        in_turn = metric.update(in_turn, *(x[i] for x in arrays), **rows)
    _agree(metric, whole, in_turn)


def test_update_and_merge_leave_their_states_alone(case):
    metric, arrays, extras = case
    state = _update(metric, arrays, extras)
    kept = jax.tree.map(np.copy, state)
    _agree(metric, kept, state)
    metric.merge(state, metric.update(state, *arrays, **extras))
    jax.tree.map(np.testing.assert_array_equal, kept, state)


def test_padding_counts_nowhere(case):
    metric, arrays, extras = case

    def pad(x, fill):  # the axes behind the first: rows and columns, or raters
        widths = ((0, 0), (1, 2), (0, 3), (0, 0))[: x.ndim]
        return np.pad(x, widths, constant_values=fill)

    padded = {name: pad(x, name == "ignore") for name, x in extras.items()}
    # An instance that reaches into the unknown may be excused, so padding is background there.
    instances = isinstance(metric.init(), segmentation.MatchState)
    filled = [pad(x, 0 if instances else 1) for x in arrays]
    _agree(metric, _update(metric, arrays, extras), _update(metric, filled, padded))


def test_arrays_sharded_over_devices(case):
    metric, arrays, extras = case
    spread = NamedSharding(jax.make_mesh((8,), ("batch",)), P("batch"))
    arrays_, extras_ = jax.device_put((tuple(arrays), extras), spread)
    assert len(arrays_[0].sharding.device_set) == 8
    _agree(metric, _update(metric, arrays, extras), _update(metric, arrays_, extras_))


def test_promptable_concepts_merge():
    rng = np.random.default_rng(1)
    metric = segmentation.promptable_concepts()
    counts = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2)) * 2
    pairs = [tuple(rng.random((n, 4, 5)) < 0.7 for n in pair) for pair in counts]
    whole, merged = metric.init(), metric.init()
    for pair in pairs:
        whole = metric.update(whole, *pair)
        merged = metric.merge(metric.update(metric.init(), *map(jax.numpy.asarray, pair)), merged)
    jax.tree.map(np.testing.assert_array_equal, whole, merged)
    assert whole.presence.sum() == 12 and (whole.presence > 0).all()


@pytest.mark.parametrize("shape", [(1, 4), (2, 1), (4,), (), (3, 2, 4)])
@pytest.mark.parametrize("name", ["mean_iou", "depth", "normals", "instance_f1", "calibration"])
def test_valid_is_not_broadcast(name, shape):
    map_ = np.ones((2, 4), np.int64)
    metric, label = {
        "mean_iou": (segmentation.mean_iou(3), map_),
        "depth": (depth.depth_errors(0, 10), map_),
        "normals": (surface_normals.angular_errors(), np.ones((2, 4, 3))),
        "instance_f1": (segmentation.instance_f1(), map_),
        "calibration": (calibration.calibration(), map_),
    }[name]
    with pytest.raises(ValueError, match=re.escape(f"{shape} and the label (2, 4)")):
        metric.update(metric.init(), label, label, valid=np.ones(shape, bool))


def test_ignore_adds_no_samples():
    metric, mask = segmentation.region_iou(), np.ones((2, 4), bool)
    with pytest.raises(ValueError, match=r"\(3, 2, 4\) and label \(2, 4\)"):
        metric.update(metric.init(), mask, mask, ignore=np.zeros((3, 2, 4), bool))
