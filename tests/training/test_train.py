"""The train command, end to end, with a model that compiles in seconds."""

import errno
import json
import os
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
import tiny_run
from exit_codes import exit_code

from configs import instruction_tune, pocket, pretrain, quickstart
from vision_banana import train
from vision_banana.data import language, pipeline
from vision_banana.evaluation import panels
from vision_banana.text import tokenizer
from vision_banana.training import json_lines, provenance, record_log, trained
from vision_banana.training import run as run_lib
from vision_banana.training.checkpoint import Checkpoints
from vision_banana.training.metric_writer import MetricWriter


def config(steps=4, **data):
    c = quickstart.get_config("tune").to_dict()
    c["init_from"] = ""
    c["model"] |= {"size": "nano", "dtype": "float32"}
    c["mesh"] = {"replica": 1, "fsdp": 2, "tensor": 4}
    c["data"] |= {"groups": 2, "queries": 3, "size": 16, "vision_share": -1.0} | data
    for entry in c["data"]["mixture"].values():
        entry["source"]["size"] = 16
    c |= {"steps": steps, "log_every": 1, "checkpoint_every": 2, "keep": 5}
    return c


def state_of(workdir, c):
    run = run_lib.build(c)
    from vision_banana.training import train_state

    abstract = train_state.abstract_state(run.model, run.optimizer, run.mesh)
    checkpoints = Checkpoints(str(workdir), read_only=True)
    return checkpoints.restore(abstract)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four steps without a stop."""
    folder = tmp_path_factory.mktemp("finished")
    train.train(config(), str(folder))
    return folder


def test_a_run_that_was_stopped_ends_with_the_same_bits(finished, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    real, seen = MetricWriter.scalars, []

    def stop_after_three(self, step, values):
        seen.append(step)
        real(self, step, values)
        if step == 3 and seen.count(3) == 1:
            raise Stopped

    monkeypatch.setattr(MetricWriter, "scalars", stop_after_three)
    with pytest.raises(Stopped):
        train.train(config(), str(tmp_path))
    assert Checkpoints(str(tmp_path), read_only=True).latest_step() == 2
    train.train(config(), str(tmp_path))
    assert seen == [1, 2, 3, 3, 4]
    whole, resumed = state_of(finished, config()), state_of(tmp_path, config())
    assert int(resumed["step"]) == 4
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


def test_the_log_has_a_loss_for_each_task(finished):
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    names = {name for line in lines for name in line}
    assert {"loss", "grad_norm", "update_norm", "images_per_second", "data_wait_share"} <= names
    assert {"loss/depth", "loss_at/t0.00-0.25", "peak_memory_gib"} <= names and "mfu" not in names
    for line in lines:  # the mean of the parts' means, weighed, is the loss
        rows = [x for name, x in line.items() if name.startswith("loss_at/")]
        assert min(rows) <= 1.001 * line["loss"] and line["loss"] <= 1.001 * max(rows)
    assert list((finished / "tensorboard").iterdir())


def test_weights_are_loaded_for_use_with_their_language(finished):
    model = trained.load(str(finished), language.describe())
    assert model.step == 4 and model.model.size == "nano"
    with pytest.raises(ValueError, match=r"was trained with tokenizer = '\w+'"):
        trained.load(str(finished), language.describe() | {"tokenizer": "other"})


def test_a_checkpoint_says_where_it_comes_from(finished):
    description = Checkpoints(str(finished), read_only=True).description()
    assert description["config"] == json.loads(json.dumps(config()))
    assert description["versions"]["jax"] == jax.__version__
    assert description["language"] == language.describe()


def test_tuning_starts_from_the_average_of_another_runs_weights(finished, tmp_path):
    c = config(steps=1) | {"init_from": str(finished), "log_every": 2}
    c["optimizer"] = c["optimizer"] | {"learning_rate": 0.0}
    train.train(c, str(tmp_path))
    assert '"step": 1,' in (tmp_path / "metrics.jsonl").read_text()  # the last one always
    before, after = state_of(finished, config()), state_of(tmp_path, c)
    jax.tree.map(np.testing.assert_array_equal, before["ema"], after["params"])


def test_a_work_folder_of_another_config_is_refused(finished):
    other = config() | {"seed": 7}
    with pytest.raises(ValueError, match=r"another config \(seed: 0 there, 7 here"):
        train.train(other, str(finished))
    provenance.claim(str(finished), config() | {"log_every": 3})  # does not change the run


def test_a_checkpoint_of_another_size_is_refused(finished, tmp_path, monkeypatch):
    c = config() | {"init_from": str(finished)}
    c["model"] = c["model"] | {"size": "tiny"}
    with pytest.raises(ValueError, match="holds a model with size = 'nano', but this one has 'tin"):
        train.train(c, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    c["model"] = c["model"] | {"size": "nano"}
    monkeypatch.setattr(train.train_state, "create", lambda *_: pytest.fail("weights were made"))
    monkeypatch.setattr(language, "describe", lambda: {"prompts": 0})
    with pytest.raises(ValueError, match="was trained with"):
        train.train(c, str(tmp_path / "run"))


def test_weights_that_blew_up_stop_the_run_and_are_not_saved(tmp_path):
    c = config()
    c["optimizer"] = c["optimizer"] | {"learning_rate": 1e30, "clip_norm": 1e30, "warmup": 1}
    c["guard"] = {"stop_after": 2, "outlier": 0.0}
    with pytest.raises(FloatingPointError, match=r"in a row were skipped|holds NaN or infinity"):
        train.train(c | {"checkpoint_every": 1}, str(tmp_path))
    saved = Checkpoints(str(tmp_path), read_only=True)
    assert saved.latest_step() is not None
    run = run_lib.build(c)
    weights = saved.read_weights(run.model, run.mesh, "params", saved.latest_step())
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(weights))


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("model", "sise", "nano", "sise"),
        ("optimizer", "learning_rat", 1.0, "learning_rat"),
        ("time", "mu", 1.0, "mu"),
        ("guard", "stop_after", 0, "config.guard.stop_after is 0"),
        ("data", "groups", 3, "config.data.groups is 3; it must be a multiple of the 2 shards"),
        ("data", "size", 20, "config.data.size is 20"),
        ("", "best_metric", "loss/dept", "best_metric is 'loss/dept'; it must be one of loss, gra"),
    ],
)
def test_a_bad_config_stops_before_any_work(tmp_path, section, key, value, message):
    c = config()
    (c[section] if section else c)[key] = value
    with pytest.raises((TypeError, ValueError), match=message):
        train.train(c, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_every_config_of_the_scenes_builds_its_parts():
    for c in (
        *(quickstart.get_config(phase) for phase in ("pretrain", "words", "tune")),
        pocket.get_config(),
        pretrain.get_config(),
        *(instruction_tune.get_config(phase) for phase in ("names", "tune", "finish", "whole")),
    ):
        c.data.groups = 8  # one for each of the tests' virtual devices
        run_lib.build(c.to_dict())
        pipeline.open_run(c.to_dict()).close()


def test_a_vocabulary_without_room_for_every_token_is_refused(tmp_path):
    c = config()
    c["model"]["vocabulary"] = tokenizer.VOCAB_SIZE - 1
    told = rf"vocabulary is {tokenizer.VOCAB_SIZE - 1}.*has {tokenizer.VOCAB_SIZE} token ids.*set"
    with pytest.raises(ValueError, match=told):
        train.train(c, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    language.check_vocabulary(tokenizer.VOCAB_SIZE)


def test_a_mistyped_name_does_not_take_the_folder(tmp_path, monkeypatch):
    tiny_run.install(monkeypatch)
    good = tiny_run.config(steps=1)
    bad = tiny_run.config(steps=1)
    bad["data"]["mixture"]["pictures"]["source"]["name"] = "scense"
    with monkeypatch.context() as patch:  # told before any weights are made
        patch.setattr(train.train_state, "create", lambda *_: pytest.fail("weights were made"))
        with pytest.raises(FileNotFoundError, match="no checkpoint 'runs/typo'"):
            tiny_run.run(tmp_path / "run", good | {"init_from": "runs/typo"})
        with pytest.raises(ValueError, match="scense"):
            tiny_run.run(tmp_path / "run", bad)
        with pytest.raises(ValueError, match="Weights & Biases is not installed"):
            tiny_run.run(tmp_path / "run", good | {"wandb_project": "fruit"})
    assert not (tmp_path / "run").exists()
    tiny_run.run(tmp_path, good)
    # Another's folder is refused before anything else is looked at.
    with pytest.raises(ValueError, match=rf"another config .*--config.init_from={tmp_path} begins"):
        tiny_run.run(tmp_path, bad)


def test_a_run_goes_on_only_with_its_language(tmp_path, monkeypatch):
    tiny_run.install(monkeypatch)
    c = tiny_run.config(steps=1)
    tiny_run.run(tmp_path, c)
    other = language.describe() | {"prompts": 0}
    monkeypatch.setattr(language, "describe", lambda: other)
    with pytest.raises(ValueError, match=r"was trained with prompts = .*, but this version has 0"):
        tiny_run.run(tmp_path, c)


def test_a_run_goes_on_with_another_use_of_its_machine(tmp_path, monkeypatch, capsys):
    tiny_run.install(monkeypatch)
    c = tiny_run.config(steps=2, checkpoint_every=1)
    tiny_run.run(tmp_path, c)
    (tmp_path / "checkpoints" / "2").rename(tmp_path / "2")
    c |= {"mesh": {"replica": 1, "fsdp": -1, "tensor": 1}, "micro_batches": 2}
    c["model"] |= {"remat": "full", "attention_kernel": "splash"}
    c["guard"] = {"stop_after": 3, "outlier": 9.0}
    tiny_run.run(tmp_path, c)
    said = capsys.readouterr().out
    assert "going on from step 1" in said and "config.model.remat: none then, full now" in said
    assert "config.micro_batches: 1 then, 2 now" in said and "config.log_every" not in said
    c["model"] |= {"text_length": 8}
    with pytest.raises(ValueError, match=r"another config \(model.text_length: \d+ there, 8 here"):
        tiny_run.run(tmp_path, c)


def test_bad_records_are_counted_over_restarts(tmp_path, monkeypatch):
    tiny_run.install(monkeypatch)

    def config(steps):
        c = tiny_run.config(steps=steps, checkpoint_every=2)
        scenes = c["data"]["mixture"]["pictures"]["source"]
        scenes["name"] = "planted_scenes:PlantedScenes"
        first = [pipeline.run_dataset(c)[step]["records"][0] for step in (0, 1, 3)]
        scenes["bad"] = [int(key.rpartition("/")[2]) for key in first]
        return c

    whole = tmp_path / "whole"
    tiny_run.run(whole, config(4))
    tiny_run.run(tmp_path / "twice", config(4) | {"steps": 2})
    (tmp_path / "twice" / "config.json").unlink()  # it says two steps
    tiny_run.run(tmp_path / "twice", config(4))
    counts = [[line["bad_records"] for line in json_lines.read(folder / "metrics.jsonl")]
              for folder in (whole, tmp_path / "twice")]  # fmt: skip
    assert counts[0] == counts[1] == [1, 2, 2, 3]
    saved = Checkpoints(str(tmp_path / "twice"), read_only=True).description(4)
    assert saved["records"] == [8 + 3, 3]  # two in a step


def test_processes_that_share_a_part_log_its_records_once(tmp_path, monkeypatch):
    tiny_run.install(monkeypatch)
    c = tiny_run.config(steps=2)
    tiny_run.run(tmp_path / "first", c)
    assert list(record_log.read(str(tmp_path / "first"))) == [1, 2]
    part = train.sharding.BatchPart(0, 1, first=False, shards=(0,))
    monkeypatch.setattr(train.sharding, "batch_part", lambda mesh: part)
    tiny_run.run(tmp_path / "second", c)
    assert record_log.read(str(tmp_path / "second")) == {}


def test_a_run_goes_on_without_the_weights_that_it_began_with(tmp_path, monkeypatch):
    tiny_run.install(monkeypatch)
    tiny_run.run(tmp_path / "old", tiny_run.config(steps=1))
    c = tiny_run.config(steps=2, checkpoint_every=1, init_from=str(tmp_path / "old"))
    tiny_run.run(tmp_path / "run", c)
    (tmp_path / "run" / "checkpoints" / "2").rename(tmp_path / "2")
    (tmp_path / "old").rename(tmp_path / "gone")
    tiny_run.run(tmp_path / "run", c)
    assert Checkpoints(str(tmp_path / "run"), read_only=True).latest_step() == 2


def test_held_out_losses_of_raw_and_averaged_weights(tmp_path, monkeypatch):
    tiny_run.install(monkeypatch)
    monkeypatch.setattr(panels, "write", lambda *_: None)
    scores = {"heldout_depth/delta1/ema": 0.5}
    monkeypatch.setattr(panels, "heldout_scores", lambda *_: scores)
    c = tiny_run.config(steps=4, panels_every=2)
    tiny_run.run(tmp_path, c)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    names = ["heldout_loss/raw", "heldout_loss/ema"]
    assert [line["step"] for line in lines if names[0] in line] == [2, 4]
    told = [line[name] for line in lines if names[0] in line for name in names][2:]
    state, run = tiny_run.final(tmp_path, c), run_lib.build(c)
    weights = {"raw": state["params"], "ema": state["ema"]}
    again = panels.heldout_losses(run, weights, c)
    assert told == pytest.approx([again[name] for name in names], rel=1e-6)
    assert told[0] != told[1] and min(told) > 0
    assert [line["step"] for line in lines if scores.items() <= line.items()] == [2, 4]


def test_a_run_that_is_asked_to_stop_logs_what_it_reached(tmp_path, monkeypatch):
    tiny_run.install(monkeypatch)
    asked = train.preemption.Preemption.asked
    monkeypatch.setattr(
        train.preemption.Preemption, "asked", lambda self, step: asked(self, step) or step == 3
    )
    with pytest.raises(train.Preempted):
        tiny_run.run(tmp_path, tiny_run.config(log_every=2))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3]


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ImportError("pip install h5py"), 2, "pip install h5py"),
        (ValueError("a mistake"), 2, "a mistake"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "no room is left in "),
    ],
    ids=["missing package", "mistake", "full disk"],
)
def test_what_stops_a_run_is_a_line_and_a_code(tmp_path, monkeypatch, error, code, says):
    def stop(*args):
        raise error

    told = []
    monkeypatch.setattr(train, "_WORKDIR", types.SimpleNamespace(value=str(tmp_path)))
    monkeypatch.setattr(train, "_PROFILE", types.SimpleNamespace(value=""))
    for name in ("_COORDINATOR", "_PROCESSES", "_PROCESS"):
        monkeypatch.setattr(train, name, types.SimpleNamespace(value=None))
    monkeypatch.setattr(train, "CONFIG", types.SimpleNamespace(value=quickstart.get_config()))
    monkeypatch.setattr(train.logging, "error", lambda text, *args: told.append(text % args))
    monkeypatch.setattr(train.program_cache, "keep_in", lambda folder: folder)
    monkeypatch.setattr(train, "train", stop)
    assert exit_code(train.main, []) == code
    (line,) = told
    assert says in line and (code == 2 or str(tmp_path) in line) and "\n" not in line


def test_one_process_of_several_says_where_a_run_goes_on(tmp_path, monkeypatch, capsys):
    tiny_run.install(monkeypatch)
    c = tiny_run.config(steps=1)
    tiny_run.run(tmp_path, c)
    parts = run_lib.build(c | {"micro_batches": 2})
    opened = Checkpoints(str(tmp_path))
    for process, said in ((1, False), (0, True)):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        train._start(c | {"micro_batches": 2}, parts, opened)
        out = capsys.readouterr().out
        assert ("going on from step 1" in out) is ("not promised to end" in out) is said


def test_training_without_panels_needs_no_evaluation():
    code = "import sys, vision_banana.train; print([x for x in sys.modules if 'evaluation' in x])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
