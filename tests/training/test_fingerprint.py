from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.training import fingerprint


def arrays():
    rng = np.random.default_rng(0)
    return {
        "three_axes": rng.normal(size=(3, 5, 7)).astype(np.float32),
        "half": rng.normal(size=(16, 9)).astype(jnp.bfloat16),
        "bytes": rng.integers(0, 256, (11,), np.uint8),
        "scalar": np.int32(-3),
        "not_a_number": np.array([1.0, np.nan], np.float32),
        "infinite": np.array([[-np.inf]], jnp.bfloat16),
    }


def test_host_and_devices_find_the_same_numbers(monkeypatch):
    tree = {name: jnp.asarray(x) for name, x in arrays().items()}
    here = fingerprint.take(tree)
    monkeypatch.setattr(fingerprint, "_one", fingerprint._on_devices)
    assert here == fingerprint.take(tree)
    assert here[1] == ["infinite", "not_a_number"]
    assert len(set(here[0].values())) == len(tree)


class Pair(NamedTuple):
    mu: int
    nu: tuple[int, ...]


def test_paths_as_text():
    tree = {"opt_state": [0, Pair(1, (2, {"out": 3}))]}
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    assert [fingerprint.path_name(path) for path in paths] == [
        *("opt_state/0", "opt_state/1/mu", "opt_state/1/nu/0", "opt_state/1/nu/1/out"),
    ]


def test_by_hand():
    # 2^32 - 3 times the odd number of place 0, and 5, 6, 7 times those of places 0, 1 and 2.
    tree = {"a": jnp.int32(-3), "b": jnp.array([5, 6, 7], jnp.uint8)}
    assert fingerprint.take(tree) == ({"a": 2**32 - 3, "b": 5 * 1 + 6 * 3 + 7 * 5}, [])


@pytest.mark.parametrize("bit", [0, 15, 31])
@pytest.mark.parametrize("place", [0, 40, 104])
def test_a_changed_bit_changes_the_number(bit, place):
    x = arrays()["three_axes"]
    words = x.copy().view(np.uint32).reshape(-1)
    words[place] ^= np.uint32(1 << bit)
    changed = words.view(np.float32).reshape(x.shape)
    numbers = [fingerprint.take({"x": jnp.asarray(y)})[0]["x"] for y in (x, changed)]
    assert numbers[0] != numbers[1]
