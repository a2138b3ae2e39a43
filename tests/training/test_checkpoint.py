"""Checkpoints that can be trusted; among the tests, bugs that others shipped, by upstream issue:

maxtext#5260 (a failed save blocks later ones), orbax#648, orbax#683, maxdiffusion#379 (another
device count), orbax#3164 (restore under a mesh), orbax#394 (a copy is taken for temporary),
maxtext#4341 (a missing weight is made up), maxtext#3440 and OneTrainer#1154 (NaN over good
weights), torchtitan#1136 (uneven shards).
"""

import errno
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import logging
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from vision_banana.training import distributed, fingerprint, sharding, update_guard
from vision_banana.training.checkpoint import Checkpoints

DESCRIPTION = {"config": {}, "language": {}}


def mesh_of(count):
    return sharding.make_mesh({"replica": 1, "fsdp": -1, "tensor": 1}, jax.devices()[:count])


def state(step, count=1, scale=1.0, name="query"):
    """A small state on some devices; `odd` has sizes that nothing divides."""
    mesh = mesh_of(count)
    rng = np.random.default_rng(step)

    def arrays():
        tree = {
            "blocks": {name: rng.random((2, 8, 6), np.float32) * scale},
            "odd": rng.random((7, 3), np.float32),
        }
        specs = {"blocks": {name: P(None, "fsdp")}, "odd": P()}
        return jax.tree.map(lambda x, s: jax.device_put(x, NamedSharding(mesh, s)), tree, specs)

    whole = NamedSharding(mesh, P())
    rest = {"step": jnp.int32(step), "guard": update_guard.init()}
    return {
        "params": arrays(),
        "ema": arrays(),
        "opt_state": {"mu": arrays()},
        **jax.device_put(rest, whole),
    }


def abstract(count=1, name="query"):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
        state(0, count, name=name),
    )


def save(folder, *steps, count=1, **options):
    checkpoints = Checkpoints(str(folder), **{"keep": 9, **options})
    for step in steps:
        checkpoints.save(state(step, count), DESCRIPTION, {"loss": abs(step - 2.6)})
    checkpoints.close()


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("count", [4, 2, 1])
def test_saved_on_eight_devices_and_restored_on_fewer(tmp_path, count):
    save(tmp_path, 5, count=8)
    restored = Checkpoints(str(tmp_path), read_only=True).restore(abstract(count))
    equal(restored, state(5, 8))
    query = restored["params"]["blocks"]["query"]
    assert len(query.sharding.device_set) == count
    assert query.addressable_shards[0].data.shape == (2, 8 // count, 6)


def test_restored_in_and_out_of_a_mesh(tmp_path):
    save(tmp_path, 5, count=2)
    with jax.set_mesh(mesh_of(2)):
        inside = Checkpoints(str(tmp_path)).restore(abstract(2))
    equal(inside, state(5))
    equal(Checkpoints(str(tmp_path)).restore(abstract(2)), state(5))


def test_opening_to_read_says_nothing(tmp_path, caplog):
    save(tmp_path, 3)
    caplog.set_level("WARNING", logger="absl")
    caplog.clear()
    opened = Checkpoints(str(tmp_path), read_only=True)
    assert opened.steps() == [3] and caplog.text == ""
    logging.warning("heard again")
    assert "heard again" in caplog.text


def test_a_copied_checkpoint_is_opened_and_nothing_removed(tmp_path):
    save(tmp_path / "a", 5)
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)
    before = sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*"))
    checkpoints = Checkpoints(str(tmp_path / "b"), keep=1)
    equal(checkpoints.restore(abstract()), state(5))
    checkpoints.close()
    assert sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*")) == before


@pytest.mark.parametrize(
    "options, stay",
    [
        ({"keep": 2}, [5, 6]),
        ({"keep": 1, "keep_every": 2}, [2, 4, 6]),
        ({"keep": 1, "keep_best": 2}, [2, 3, 6]),  # the metric is the distance to 2.6
    ],
)
def test_what_stays(tmp_path, options, stay):
    save(tmp_path, *range(1, 7), **options)
    assert sorted(Checkpoints(str(tmp_path), read_only=True).steps()) == stay


def test_a_save_without_the_metric_is_none_of_the_best(tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    checkpoints = Checkpoints(str(tmp_path), keep=1, keep_best=1, best_metric="loss/depth")
    values = [{"loss": 0.0}, {"loss": 5.0, "loss/depth": 2.0}, {}, {"loss": 0.0, "loss/depth": 3.0}]
    for step, metrics in enumerate(values, 1):
        checkpoints.save(state(step), DESCRIPTION, metrics)
    checkpoints.close()
    assert Checkpoints(str(tmp_path), read_only=True).steps() == [4, 2]
    assert "1 is none of the best: there is no config.best_metric='loss/depth', only loss" in (
        caplog.text
    )
    assert "3 is none of the best" in caplog.text and "only skipped updates" in caplog.text


def test_the_best_stay_when_a_run_goes_on(tmp_path):
    save(tmp_path, 1, 2, 3, 4, keep=1, keep_best=2)
    save(tmp_path, 5, 6, keep=1, keep_best=2)
    assert Checkpoints(str(tmp_path), read_only=True).steps() == [6, 3, 2]
    # Saved with another metric: none of them counts.
    save(tmp_path, 7, 8, keep=1, keep_best=1, best_metric="grad_norm")
    assert Checkpoints(str(tmp_path), read_only=True).latest_step() == 8


def data_files(folder):
    """Files of array data of a checkpoint's weights."""
    return [p for p in (folder / "params").rglob("*") if p.is_file() and p.parent.name == "d"]


def truncate(folder):
    for path in data_files(folder):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


def lose_item(folder):
    shutil.rmtree(folder / "ema")


def lose_files(folder):
    for path in data_files(folder):
        path.unlink()


def spoil_description(folder):
    (folder / "description" / "metadata").write_text('{"config": {')


def other_numbers(folder):
    """Whole files, of another state: nothing but the fingerprint can tell."""
    save(folder.parent.parent / "other", 77)
    shutil.rmtree(folder / "params")
    source = folder.parent.parent / "other" / "checkpoints" / "77" / "params"
    shutil.copytree(source, folder / "params")


@pytest.mark.parametrize(
    "damage", [truncate, empty, lose_item, lose_files, spoil_description, other_numbers]
)
def test_a_damaged_checkpoint_is_passed_over_and_kept_aside(tmp_path, damage, caplog):
    caplog.set_level("WARNING", logger="absl")
    save(tmp_path, 3, 5)
    damage(tmp_path / "checkpoints" / "5")
    reader = Checkpoints(str(tmp_path), read_only=True)
    equal(reader.restore(abstract()), state(3))
    assert f"checkpoint 5 of {tmp_path}/checkpoints is damaged and passed over" in caplog.text
    assert reader.steps() == [5, 3]  # whoever only reads moves nothing
    writer = Checkpoints(str(tmp_path), keep=9)
    equal(writer.restore(abstract()), state(3))
    assert writer.steps() == [3]
    assert (tmp_path / "damaged_checkpoints" / "5-0").is_dir()
    assert (tmp_path / "damaged_checkpoints" / "5-0.txt").read_text().strip()
    writer.save(state(5), DESCRIPTION)  # the run comes to step 5 again
    writer.close()
    equal(Checkpoints(str(tmp_path), read_only=True).restore(abstract()), state(5))


def test_processes_agree_on_damage_before_they_compute_together(tmp_path, monkeypatch):
    save(tmp_path, 3, 5)
    calls, elsewhere = [], {0}  # numbers of the questions to which another process says yes
    take = fingerprint.take

    def anywhere(mine):
        calls.append(mine)
        return mine or len(calls) - 1 in elsewhere

    monkeypatch.setattr(distributed, "anywhere", anywhere)
    monkeypatch.setattr(fingerprint, "take", lambda x: (calls.append("fingerprints"), take(x))[1])
    checkpoints = Checkpoints(str(tmp_path), read_only=True)
    # Another process meets damage in step 5: this one computes nothing of it, and both go on.
    equal(checkpoints.restore(abstract()), state(3))
    assert calls == [False, True, False, "fingerprints", False]
    # This process meets it, where a description is read first: it asks as often as the others.
    calls.clear()
    elsewhere.clear()
    spoil_description(tmp_path / "checkpoints" / "5")
    assert checkpoints.newest_good(checkpoints.description) == (3, DESCRIPTION)
    assert calls == [True, True, False, False]


def test_where_all_are_damaged_nothing_is_moved(tmp_path):
    save(tmp_path, 3, 5)
    for step in (3, 5):
        empty(tmp_path / "checkpoints" / str(step))
    checkpoints = Checkpoints(str(tmp_path))
    with pytest.raises(ValueError, match=r"no checkpoint of .* \(step 5: .*; step 3: .*bring back"):
        checkpoints.restore(abstract())
    assert not (tmp_path / "damaged_checkpoints").exists()


class HttpError(Exception):
    """As of gcsfs and aiohttp, whose errors derive from nothing in particular."""


def wrapped():
    error = ValueError("Failed to read the metadata")
    error.__cause__ = OSError(errno.EIO, "Input/output error")
    return error


@pytest.mark.parametrize("error", [
    ValueError("PERMISSION_DENIED: Error reading gs://bucket/x"),
    ValueError('UNKNOWN: Error reading local file "x" [OS error 5: EIO Input/output error]'),
    ValueError("Bad Request: https://oauth2.googleapis.com/token invalid_grant"),
    HttpError("Service Unavailable, 503"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
    wrapped(),
], ids=str)  # fmt: skip
def test_an_error_that_may_pass_is_not_taken_for_damage(tmp_path, monkeypatch, error):
    save(tmp_path, 3, 5)
    checkpoints = Checkpoints(str(tmp_path))

    real = checkpoints._reader._orbax.restore

    def refused(folder, **kwargs):
        if folder.name == "5":
            raise error
        return real(folder, **kwargs)

    monkeypatch.setattr(checkpoints._reader._orbax, "restore", refused)
    # A ValueError would end the run as a mistake does, without a restart.
    mistake = isinstance(error, ValueError)
    with pytest.raises(OSError if mistake else type(error)) as raised:
        checkpoints.restore(abstract())
    assert (raised.value.__cause__ if mistake else raised.value) is error
    assert checkpoints.steps() == [5, 3]


def test_a_renamed_weight_is_an_error_that_names_it(tmp_path):
    save(tmp_path, 3, 5)
    with pytest.raises(ValueError, match=r"params/blocks/(query|key) is .*not there"):
        Checkpoints(str(tmp_path)).restore(abstract(name="key"))


def test_nan_is_never_saved_over_good_weights(tmp_path):
    save(tmp_path, 3)
    checkpoints = Checkpoints(str(tmp_path), keep=1)
    bad = state(5)
    bad["ema"]["odd"] = bad["ema"]["odd"].at[6, 2].set(jnp.nan)
    with pytest.raises(FloatingPointError, match=r"ema/odd .* NaN .* step 5; .* of step 3"):
        checkpoints.save(bad, DESCRIPTION)
    checkpoints.close()
    assert Checkpoints(str(tmp_path), read_only=True).steps() == [3]


def test_what_a_kill_in_a_save_leaves_behind_blocks_nothing(tmp_path):
    save(tmp_path, 3, 5)
    folder = tmp_path / "checkpoints"
    torn = folder / "5.orbax-checkpoint-tmp"  # as Orbax calls a checkpoint that it is writing
    (folder / "5").rename(torn)
    shutil.rmtree(torn / "train")
    shutil.copytree(torn, folder / "4.orbax-checkpoint-tmp")  # of a step that does not come again
    checkpoints = Checkpoints(str(tmp_path), keep=9)
    assert checkpoints.latest_step() == 3
    equal(checkpoints.restore(abstract()), state(3))
    checkpoints.save(state(5), DESCRIPTION)
    checkpoints.save(state(6), DESCRIPTION)
    checkpoints.close()
    assert Checkpoints(str(tmp_path), read_only=True).steps() == [6, 5, 3]
    assert not list(folder.glob("*tmp*"))


def test_an_error_of_a_save_in_the_background_is_told(tmp_path, monkeypatch):
    # orbax#605, keras#23609: it was lost, and the run ended well.
    checkpoints = Checkpoints(str(tmp_path))

    def finish():
        raise ValueError("No space left on device")

    monkeypatch.setattr(checkpoints._manager, "wait_until_finished", finish)
    with pytest.raises(OSError, match=r"could not be written to .*: No space left on device"):
        checkpoints.last_saved()


def test_a_fingerprint_by_hand_and_on_every_mesh():
    # Words 5, 7 and 11, times 1, 3 and 5.
    prints, bad = fingerprint.take({"a": jnp.array([5, 7, 11], jnp.int32)})
    assert prints == {"a": 5 + 21 + 55} and bad == []
    ones = {"a": jnp.ones((2, 2))}  # the word of 1.0 is 0x3f800000
    assert fingerprint.take(ones)[0] == {"a": 0x3F800000 * (1 + 3 + 5 + 7) % 2**32}
    expected = fingerprint.take(state(1, 1))[0]
    for count in (2, 8):
        assert fingerprint.take(state(1, count))[0] == expected


def test_trees_of_other_names_types_shapes_or_values_have_other_names():
    tree = {"a": jnp.arange(4.0), "b": {"c": jnp.zeros(2)}}
    assert len(fingerprint.of(tree)) == 12
    assert fingerprint.of(tree) == fingerprint.of({"b": {"c": np.zeros(2, "f4")}, "a": tree["a"]})
    others = [
        {**tree, "a": jnp.array([0, 1, 2, 3.0000002])},
        {**tree, "a": tree["a"].reshape(2, 2)},
        {**tree, "b": {"d": jnp.zeros(2)}},
        {**tree, "b": {"c": jnp.zeros(2, jnp.int32)}},
    ]
    assert len({fingerprint.of(each) for each in (tree, *others)}) == 5


def test_one_changed_bit_changes_the_fingerprint():
    words = np.random.default_rng(0).integers(0, 2**31, 40, np.int32)
    expected = fingerprint.take({"a": jnp.array(words)})[0]
    for bit in range(32):
        changed = words.copy()
        changed.view(np.uint32)[bit] ^= np.uint32(1) << np.uint32(bit)
        assert fingerprint.take({"a": jnp.array(changed)})[0] != expected
