import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_run

from vision_banana.data import mixture, pipeline
from vision_banana.training import json_lines, train_state, train_step, update_guard
from vision_banana.training import run as run_lib
from vision_banana.training.update_guard import UpdateGuard


def judge(guard, numbers):
    """Whether each (loss, norm) is taken, and the last state."""
    state, taken = update_guard.init(), []
    for loss, norm in numbers:
        ok, state = guard.judge(state, jnp.float32(loss), jnp.float32(norm))
        taken.append(bool(ok))
    return taken, {name: float(value) for name, value in state.items()}


def test_numbers_that_are_not_finite_are_skipped_and_counted():
    numbers = [(1, 2), (np.nan, 2), (1, np.inf), (-np.inf, np.nan), (1, 4), (1, np.nan)]
    taken, state = judge(UpdateGuard(), numbers)
    assert taken == [True, False, False, False, True, False]
    assert state == {"taken": 2, "skipped": 4, "in_a_row": 1, "mean_norm": 3}  # (2 + 4) / 2


def test_outliers_are_skipped_once_the_mean_is_known():
    early = [(1, 50)] + [(1, 1)] * 99
    taken, state = judge(UpdateGuard(outlier=4), early)
    assert all(taken) and state["mean_norm"] == pytest.approx(1.49)  # (50 + 99) / 100
    taken, state = judge(UpdateGuard(outlier=4), [*early, (1, 5.97), (1, 5.95), (1, 6.05)])
    # Above 5.96 is skipped; 5.95 is taken and moves the mean by 1 % of the way, to 1.5346.
    assert taken[-3:] == [False, True, True] and state["skipped"] == 1
    assert judge(UpdateGuard(), [*early, (1, 1e9)])[0][-1]  # off by default


@pytest.mark.parametrize("fields", [{"stop_after": 0}, {"outlier": 0.5}, {"outlier": -1}])
def test_impossible_settings_are_errors(fields):
    with pytest.raises(ValueError, match=f"config.guard.{next(iter(fields))} is"):
        UpdateGuard(**fields)


def test_a_skipped_update_changes_nothing_but_the_step(monkeypatch):
    tiny_run.install(monkeypatch)
    run = run_lib.build(tiny_run.config())
    step = train_step.compile_step(run)
    state = train_state.create(run.model, run.optimizer, run.mesh, 0)
    batch = pipeline.open_run(tiny_run.config())
    good, bad = next(batch), next(batch)
    batch.close()
    bad["target"][1, 0, 3, 3, 1] = np.nan
    state, _ = step(state, good)
    before = {name: jnp.copy(state["params"]["ends"]["out"]) for name in ("params",)}
    copied = {k: {n: np.array(v) for n, v in state[k]["ends"].items()} for k in ("params", "ema")}
    mu = np.array(optax.tree.get(state["opt_state"], "mu")["ends"]["out"])
    state, metrics = step(state, bad)
    assert np.isnan(metrics["loss"]) and int(metrics["in_a_row"]) == 1
    assert int(state["step"]) == 2 and int(state["guard"]["skipped"]) == 1
    for k, arrays in copied.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(state[k]["ends"][name], array)
    np.testing.assert_array_equal(optax.tree.get(state["opt_state"], "mu")["ends"]["out"], mu)
    counts = optax.tree.get_all_with_path(state["opt_state"], "count")
    assert counts and all(int(count) == 1 for _, count in counts)
    state, metrics = step(state, good)
    assert int(metrics["in_a_row"]) == 0 and int(metrics["skipped"]) == 1
    assert np.abs(state["params"]["ends"]["out"] - before["params"]).max() > 0


def planted(monkeypatch, where, **changes):
    """A config whose second record of the given steps has a NaN, and the keys of these records.

    The check at the door of the mixture refuses such a record, so it is left out: the guard is for
    what no check has thought of.
    """
    monkeypatch.setattr(mixture.record_check, "check", lambda example, task: None)
    c = tiny_run.config(**changes)
    scenes = c["data"]["mixture"]["pictures"]["source"]
    scenes["name"] = "planted_scenes:PlantedScenes"
    keys = [pipeline.run_dataset(c)[step - 1]["records"][1] for step in where]
    scenes["nan"] = [int(key.rpartition("/")[2]) for key in keys]
    return c, keys


def test_a_planted_nan_record_is_survived_and_told(monkeypatch, tmp_path, caplog):
    tiny_run.install(monkeypatch)
    c, (key,) = planted(monkeypatch, [3])
    caplog.set_level("WARNING", logger="absl")
    tiny_run.run(tmp_path, c)
    lines = json_lines.read(tmp_path / "metrics.jsonl")
    assert [line["skipped_updates"] for line in lines] == [0, 0, 1, 1, 1, 1]
    assert ["loss" in line for line in lines] == [True, True, False, True, True, True]
    (told,) = [line for line in caplog.messages if "update skipped" in line]
    assert told.startswith("update skipped at step 3: loss nan, gradient norm nan; its records: ")
    assert told.endswith(f", {key}") and told.count("scenes/train/") == 2
    assert json_lines.read(tmp_path / "records" / "00000-of-00001.jsonl")[2]["records"][1] == key
    final = tiny_run.final(tmp_path, tiny_run.config())
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((final["params"], final["ema"])))


def test_too_many_in_a_row_stop_the_run(monkeypatch, tmp_path):
    tiny_run.install(monkeypatch)
    c, keys = planted(monkeypatch, [2, 5, 6, 7], steps=9, guard={"stop_after": 3, "outlier": 0.0})
    message = f"3 updates in a row were skipped, the last at step 7: .*scenes/train/.*, {keys[-1]}"
    with pytest.raises(FloatingPointError, match=message + r"\. .*checkpoint: its step is 4\."):
        tiny_run.run(tmp_path, c)
