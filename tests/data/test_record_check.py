import collections

import damaged_source
import numpy as np
import pytest

from vision_banana.data import pipeline, record_check, source
from vision_banana.data.mixture import Mixture

ENTRY = {
    "source": {"name": "damaged_source:Damaged"},
    "tasks": {name: 1.0 for name in damaged_source.TASKS},
    "weight": 1.0,
    "references": 1,
    "flip": False,
}


def dataset(groups=2, queries=6):
    # As many queries as tasks, so that every group asks each task once.
    return pipeline.dataset(
        [ENTRY], groups=groups, queries=queries, height=8, width=8, text_length=64, seed=3
    )


@pytest.mark.parametrize("how", range(10))
def test_each_way_of_damage_is_told_by_its_reason(how):
    index, found = how * 10, {}
    made = damaged_source.Damaged()
    for task in damaged_source.TASKS:
        try:
            record_check.check(made.example(index, task), task)
        except source.BadRecord as error:
            assert error.key == f"damaged/{index}"
            found[task] = error.reason.partition(":")[0]
        record_check.check(made.example(index + 1, task), task)  # its neighbour is good
    seen_in = damaged_source.SEEN_IN[how]
    assert set(found) == ({seen_in} if seen_in else set(damaged_source.TASKS))
    assert set(found.values()) == {damaged_source.REASONS[how]}


def test_every_tenth_record_is_replaced_counted_and_named(caplog):
    steps, data = 350, dataset()
    with pipeline.Batches(data, bad_limit=0.5) as batches:
        used = []
        for _ in range(steps):
            batch = next(batches)
            used += batches.records
            assert all(np.isfinite(batch[name]).all() for name in ("target", "weight"))
        counted = batches.bad
    assert len(used) == 2 * steps
    assert all(int(key.removeprefix("damaged/")) % 10 for key in used)
    # What stands in the batches themselves, counted by hand.
    replaced = [key for step in range(steps) for key, _ in data[step]["bad"]]
    expected = collections.Counter(
        damaged_source.REASONS[damaged_source.way(int(key.removeprefix("damaged/")))]
        for key in replaced
    )
    assert counted == expected and set(counted) == set(damaged_source.REASONS)
    assert all(f"record {key} replaced" in caplog.text for key in replaced)
    assert 0.05 < len(replaced) / (len(replaced) + len(used)) < 0.15


def test_what_replaces_a_bad_record_depends_on_its_place_alone():
    drawn = [Mixture([ENTRY], 6, 8, 8, 64, 3) for _ in range(2)]
    places = [k for k in range(40) if drawn[0].group(k, 1)["bad"]]
    assert places
    for k in reversed(places):
        a, b = drawn[0].group(k, 1), drawn[1].group(k, 1)
        assert a["records"] == b["records"] and a["bad"] == b["bad"]
        np.testing.assert_array_equal(a["target"], b["target"])


def test_one_in_a_hundred_is_the_limit_by_default():
    batches = pipeline.Batches(dataset())
    with (
        batches,
        pytest.raises(
            ValueError,
            match=r"above the limit of 1\.0% \(config.data.max_bad_share\): \{.*unreadable",
        ),
    ):
        for _ in range(300):
            next(batches)


def good(task="depth"):
    return damaged_source.Damaged().example(1, task)


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"task": "surface_normals"}, "another task"),
        ({"valid": np.ones((8, 8), np.float32)}, "valid is no mask"),
        ({"valid": np.zeros((8, 8), bool)}, "nothing is labelled"),
        ({"references": (np.zeros((8, 9, 3), np.float32),)}, "picture of another size"),
        ({"references": (np.full((8, 8, 3), np.nan, np.float32),)}, "picture is not finite"),
        ({"references": (np.full((8, 8, 3), 255, np.uint8),)}, r"picture outside \[0, 1\]"),
    ],
)
def test_parts_that_every_task_has(change, reason):
    example = good()
    with pytest.raises(source.BadRecord, match=reason):
        record_check.check(example.__class__(**{**vars(example), **change}), "depth")


@pytest.mark.parametrize(
    "second, reason",
    [
        (np.full((3, 5, 3), 0.5, np.float32), None),
        (np.full((3, 5, 3), np.nan, np.float32), "picture is not finite"),
        (np.full((3, 5, 3), 255, np.uint8), r"picture outside \[0, 1\]"),
        (np.zeros((3, 5), np.float32), "picture of another size"),
        (np.zeros((0, 5, 3), np.float32), "picture is empty"),
    ],
)
def test_a_further_reference_may_have_its_own_size(second, reason):
    example = good()
    two = example.__class__(**{**vars(example), "references": (*example.references, second)})
    if reason is None:
        record_check.check(two, "depth")
    else:
        with pytest.raises(source.BadRecord, match=reason):
            record_check.check(two, "depth")


def test_what_is_unknown_may_hold_anything_and_sky_is_infinite():
    example = good()
    example.label[3, 5], example.valid[3, 5] = np.nan, False
    example.label[0, 0] = np.inf
    record_check.check(example, "depth")
