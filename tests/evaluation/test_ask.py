"""Prompts put to a stand-in generator: order, filling, masks and errors."""

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from vision_banana.evaluation import ask
from vision_banana.evaluation.ask import Group
from vision_banana.text import tokenizer
from vision_banana.training import sharding

KEY = jax.random.key(0)
LENGTH = 16


class Echo:
    """Answers (sum of tokens / 2^14, mean of the references seen, how many); notes shapes."""

    def __init__(self):
        self.shapes = []

    def __call__(self, params, key, batch):
        tokens, mask = batch["tokens"], batch["reference_mask"]
        references = batch["references"]
        self.shapes.append((tokens.shape[:2], references.shape[1:], batch["shape"]))
        seen = np.einsum("gqr,gr->gq", mask, references.mean((2, 3, 4)))
        answer = np.stack([tokens.sum(-1) / 2**14, seen, mask.sum(-1)], axis=-1)
        return np.broadcast_to(
            answer[:, :, None, None], (*answer.shape[:2], *batch["shape"], 3)
        ).astype(np.float32)


def grey(value, side=8):
    return np.full((side, side, 3), value, np.float32)


def expected(group):
    rows = []
    for prompt in group.prompts:
        tokens = tokenizer.encode(prompt, LENGTH).sum() / 2**14
        rows.append((tokens, sum(r.mean() for r in group.references), len(group.references)))
    answer = np.array(rows, np.float32)[:, None, None]
    return np.broadcast_to(answer, (len(rows), *group.shape, 3))


def some_groups():
    one = [
        Group(("depth map", "a red cube"), (grey(0.25),), (8, 8)),
        Group(("a blue cube",), (grey(0.5), grey(0.125)), (8, 8)),
        Group(("depth map", "a cone", "normals"), (grey(0.75),), (8, 8)),
    ]
    none = [Group((f"a {color} cube",), (), (8, 16)) for color in ("red", "green", "blue")]
    return [none[0], one[0], one[1], none[1], one[2], none[2]]


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_answers_come_in_order_whatever_the_batch(size):
    groups = some_groups()
    answers = ask.build(Echo(), None, LENGTH, size)(groups, KEY)
    assert len(answers) == len(groups)
    for group, answer in zip(groups, answers, strict=True):
        np.testing.assert_allclose(answer, expected(group), atol=1e-6)


def test_each_kind_has_one_shape_and_the_last_batch_is_filled():
    echo = Echo()
    ask.build(echo, None, LENGTH, groups=2)(some_groups(), KEY)
    # Three groups without references and three with: two batches of two each. With references
    # there is room for the largest group's three prompts and two pictures.
    assert sorted(echo.shapes) == [
        ((2, 1), (0, 8, 16, 3), (8, 16)),
        ((2, 1), (0, 8, 16, 3), (8, 16)),
        ((2, 3), (2, 8, 8, 3), (8, 8)),
        ((2, 3), (2, 8, 8, 3), (8, 8)),
    ]


@pytest.mark.parametrize("groups", [1, 3, 4])
def test_every_shard_of_a_mesh_looks_at_pictures_of_its_own(groups):
    echo = Echo()
    mesh = sharding.make_mesh({"replica": 2, "fsdp": 2, "tensor": -1})
    params = jax.device_put(np.ones(3), NamedSharding(mesh, P()))
    few = Group(("a cube", "a cone"), (grey(0.5),), (8, 8))
    for answer in ask.build(echo, {"w": params}, LENGTH, groups)([few] * 6, KEY):
        np.testing.assert_allclose(answer, expected(few), atol=1e-6)
    assert [shape for shape, *_ in echo.shapes] == [(4, 2)] * 2  # four shards


def test_a_batch_draws_no_more_pictures_than_fit(monkeypatch):
    """Seven prompts come in parts of four and three; each keeps its own key."""
    monkeypatch.setattr(ask, "MOST", 4)
    echo = Echo()
    many = Group(tuple(f"{n} cubes" for n in range(7)), (grey(0.25),), (8, 8))
    few = Group(("a cube", "a cone"), (grey(0.5),), (8, 8))
    for group, answer in zip(
        (many, few), ask.build(echo, None, LENGTH)([many, few], KEY), strict=True
    ):
        np.testing.assert_allclose(answer, expected(group), atol=1e-6)
    assert [shape for shape, *_ in echo.shapes] == [(1, 4)] * 3
    echo.shapes.clear()
    ask.build(echo, None, LENGTH)([few] * 5, KEY)
    assert [shape for shape, *_ in echo.shapes] == [(2, 2)] * 3

    def noise(params, key, batch):
        assert key.shape == batch["tokens"].shape[:2]
        one = jax.vmap(jax.vmap(lambda k: jax.random.uniform(k, (*batch["shape"], 3))))
        return one(key)

    keys = jax.random.split(KEY, 7)
    (whole,) = ask.build(noise, None, LENGTH)([many._replace(keys=keys)], KEY)
    for key, drawn in zip(keys, whole, strict=True):
        np.testing.assert_array_equal(drawn, jax.random.uniform(key, (8, 8, 3)))


def test_a_small_call_is_not_filled():
    echo = Echo()
    ask.build(echo, None, LENGTH, groups=8)([some_groups()[0]], KEY)
    assert echo.shapes == [((1, 1), (0, 8, 16, 3), (8, 16))]


def test_every_batch_has_its_own_noise_and_the_same_key_the_same():
    def noise(params, key, batch):
        return jax.random.uniform(key, (*batch["tokens"].shape[:2], *batch["shape"], 3))

    twice = [Group(("a cube",), (), (8, 8))] * 2
    asked = ask.build(noise, None, LENGTH, groups=1)
    first, second = asked(twice, KEY)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, asked(twice, KEY)[0])
    assert not np.array_equal(first, asked(twice, jax.random.key(1))[0])


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (Group((), (), (8, 8)), "no prompts"),
        (Group(("",), (), (8, 8)), "empty"),
        (Group(("cube " * 17,), (), (8, 8)), "at most 16"),
        (Group(("cube",), (grey(0, 8), grey(0, 16)), (8, 8)), "resize"),
    ],
)
def test_bad_groups_are_refused(group, message):
    with pytest.raises(ValueError, match=message):
        ask.build(Echo(), None, LENGTH)([group], KEY)


def test_an_empty_batch_size_is_refused():
    with pytest.raises(ValueError, match="1 or more"):
        ask.build(Echo(), None, LENGTH, groups=0)
