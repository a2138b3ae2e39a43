import json
import os
import pathlib
import subprocess

import commands
import jax
import pytest
import xla_flags

from vision_banana import quickstart
from vision_banana.data import pipeline
from vision_banana.training import program_cache, sharding, train_state, train_step
from vision_banana.training import run as run_lib

# The generator and a step of the smallest size.
SMALL = """
from configs import quickstart
real = quickstart.get_config
def get_config(phase="tune"):
    c = real(phase)
    c.model.size, c.data.groups, c.data.queries, c.data.size = "nano", 1, 2, 16
    for entry in c.data.mixture.values():
        entry.source.size = 16
    return c
quickstart.get_config = get_config
"""
PACES = {"pretrain": 0.25, "words": 0.25, "tune": 0.5}  # seconds of a step


@pytest.fixture
def ran(monkeypatch):
    """Commands that would have run, none of which does; a step takes `ran.slower` than probed."""

    class Commands(list):
        slower = 1.0

    seen = Commands()
    clock = [0.0]
    monkeypatch.setattr(quickstart.time, "perf_counter", lambda: clock[0])

    def run(command, check, env):
        assert env["JAX_COMPILATION_CACHE_DIR"] == "programs"
        seen.append(command[2:])
        if command[2].endswith("train"):
            workdir = pathlib.Path(command[command.index("--workdir") + 1])
            steps = int(
                next(x for x in command if x.startswith("--config.steps")).partition("=")[2]
            )
            workdir.mkdir(parents=True, exist_ok=True)
            pace = seen.slower * PACES[workdir.name]
            lines = [(1, 9.0), (steps // 2, pace - 0.1), (steps, pace + 0.1)]
            text = [json.dumps({"step": n, "seconds_per_step": x}) for n, x in lines]
            (workdir / "metrics.jsonl").write_text("\n".join(text) + "\n")
            clock[0] += quickstart.STARTING + steps * pace
        return subprocess.CompletedProcess(command, 0)

    found = {"seconds_per_step": PACES, "groups": 8, "device": "8 x GPU"}
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(program_cache, "keep_in", lambda folder: "programs")
    monkeypatch.setattr(quickstart, "timed", lambda folder, environment: dict(found))
    return seen


def test_the_probe_shares_out_the_time(ran, tmp_path):
    quickstart.main(["--folder", str(tmp_path), "--minutes", "15"])
    probed = json.loads((tmp_path / "probe.json").read_text())
    left = 15 * 60 - 3 * quickstart.STARTING - quickstart.SCORING
    assert list(probed["steps"]) == ["pretrain", "words", "tune"]
    assert probed["seconds_per_step"] == PACES
    assert all("--config.data.groups=8" in command for command in ran[:3])
    seconds = {phase: n * PACES[phase] for phase, n in probed["steps"].items()}
    assert seconds == pytest.approx({p: left * s for p, s in quickstart.SHARES.items()}, abs=2)
    names = [command[0].removeprefix("vision_banana.") for command in ran]
    assert names == ["train", "train", "train", "evaluate", "report"]
    assert f"--config.steps={probed['steps']['tune']}" in ran[2]
    assert f"--config.init_from={tmp_path / 'pretrain'}" in ran[1]
    assert f"--config.init_from={tmp_path / 'words'}" in ran[2]
    assert ran[3][ran[3].index("--workdir") + 1] == str(tmp_path / "tune")


def test_the_home_folder(ran, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    quickstart.main(["--folder=~/first"])
    quickstart.main(["--folder=~/again", "--probe=~/first/probe.json"])
    assert {path.name for path in tmp_path.iterdir()} == {"first", "again"}
    assert ran[3][ran[3].index("--workdir") + 1] == str(tmp_path / "first" / "tune")


def test_the_step_is_timed_in_a_process_of_its_own(monkeypatch, tmp_path):
    shrink = tmp_path / "sitecustomize.py"  # which Python imports first, in that process too
    shrink.write_text(SMALL)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(commands.ROOT)]))
    monkeypatch.setenv("XLA_FLAGS", f"{xla_flags.devices(2)} {xla_flags.QUICK}")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    found = quickstart.timed(tmp_path, os.environ)
    assert found["groups"] == 2 and found["device"] == "2 x cpu"  # one group would not divide
    assert set(found["seconds_per_step"]) == set(quickstart.SHARES)
    assert all(0 < pace < 60 for pace in found["seconds_per_step"].values())
    assert list((tmp_path / "compiled").iterdir())  # for the phases to come


@pytest.mark.parametrize("groups", [{}, {"groups": 8}])
def test_a_probe_of_an_older_version_has_the_groups_of_the_config(groups, tmp_path):
    probed = {"steps": dict.fromkeys(quickstart.SHARES, 1)} | groups
    (train, *_) = quickstart.commands(tmp_path, probed)
    assert ("--config.data.groups=8" in train) == bool(groups)


@pytest.mark.parametrize("minutes", ["nan", "inf", "0", "-5"])
def test_minutes_must_be_a_number_above_0(ran, tmp_path, capsys, minutes):
    with pytest.raises(SystemExit):
        quickstart.main(["--folder", str(tmp_path / "new"), f"--minutes={minutes}"])
    assert f"--minutes is {float(minutes):g}: it must be" in capsys.readouterr().err
    assert not ran and not (tmp_path / "new").exists()


@pytest.mark.parametrize("slower", [0.8, 1.0, 1.4])
def test_phases_that_are_left_follow_the_pace_of_slower_ones_before(ran, tmp_path, slower):
    ran.slower = slower
    quickstart.main(["--folder", str(tmp_path), "--minutes", "15"])
    steps = json.loads((tmp_path / "probe.json").read_text())["steps"]
    assert [
        f"--config.steps={n}" in command for n, command in zip(steps.values(), ran[:3], strict=True)
    ] == [True] * 3
    left = 15 * 60 - 3 * quickstart.STARTING - quickstart.SCORING
    assert steps["pretrain"] == int(left * quickstart.SHARES["pretrain"] / PACES["pretrain"])
    spent = slower * sum(n * PACES[phase] for phase, n in steps.items())
    # Where a phase was faster, only what it left over is shared out.
    assert spent == pytest.approx(left, rel=0.01 if slower >= 1 else 0.15) and spent < left + 3


def test_a_stored_number_of_steps_is_used_again(ran, tmp_path):
    stored = {"steps": {"pretrain": 3, "words": 4, "tune": 5}}
    other = tmp_path / "other.json"
    other.write_text(json.dumps(stored))
    folder = tmp_path / "run"
    quickstart.main(["--folder", str(folder), "--probe", str(other)])
    quickstart.main(["--folder", str(folder)])
    assert ran[0] == ran[5] and "--config.steps=3" in ran[0]
    assert json.loads((folder / "probe.json").read_text()) == stored


def test_a_part_that_fails_stops_the_rest(ran, monkeypatch, tmp_path):
    monkeypatch.setattr(
        subprocess, "run", lambda command, check, env: subprocess.CompletedProcess(command, 3)
    )
    with pytest.raises(SystemExit, match=r"vision_banana\.train failed with exit code 3"):
        quickstart.main(["--folder", str(tmp_path)])


def test_a_stored_number_without_a_phase_is_refused(ran, tmp_path):
    (tmp_path / "old.json").write_text(json.dumps({"steps": {"pretrain": 3, "tune": 5}}))
    with pytest.raises(SystemExit, match=r"old.json has no steps for 'words'.*another --folder"):
        quickstart.main(["--folder", str(tmp_path), "--probe", str(tmp_path / "old.json")])
    assert not ran


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, r"--probe .*nope\.json cannot be read: No such file"),
        ('{"minutes": 14.0, "ste', r"nope\.json is damaged.*another --folder"),
        ("[1]", r"nope\.json is damaged"),
        ('{"steps": 3}', r"nope\.json is damaged"),
        ('{"steps": {"pretrain": "3", "words": 1, "tune": 1}}', "no steps for 'pretrain'"),
        ('{"steps": {"pretrain": 3, "words": 0, "tune": 1}}', "no steps for 'words'"),
    ],
)
def test_a_damaged_probe_is_a_line(ran, tmp_path, text, says):
    stored = tmp_path / "nope.json"
    if text is not None:
        stored.write_text(text)
    with pytest.raises(SystemExit, match=says):
        quickstart.main(["--folder", str(tmp_path), "--probe", str(stored)])
    assert not ran


def test_minutes_without_effect_are_mentioned(ran, tmp_path, capsys):
    arguments = ["--folder", str(tmp_path), "--minutes", "15"]
    quickstart.main(arguments)
    assert "no effect" not in capsys.readouterr().out
    quickstart.main(arguments[:2])
    assert "no effect" not in capsys.readouterr().out
    quickstart.main(arguments)
    assert (
        "--minutes 15 has no effect; to time anew give another --folder" in capsys.readouterr().out
    )
    with pytest.raises(SystemExit):
        quickstart.main([*arguments[:2], "--min", "3"])


def test_phases_run_the_program_that_the_probe_compiled():
    def program(phase, steps):
        config = quickstart.config_lib.get_config(phase).to_dict()
        size = config["data"]["size"]
        config |= {"steps": steps, "seed": steps}
        config["model"] |= {"size": "nano"}
        config["data"] |= {"groups": 1, "queries": 2}
        run = run_lib.build(config, jax.devices()[:1])
        state = train_state.abstract_state(run.model, run.optimizer, run.mesh)
        with pipeline.open_run(config) as batches:
            batch = sharding.to_devices(next(batches), run.mesh)
        with jax.set_mesh(run.mesh):
            lowered = train_step.jit_step(run).lower(state, batch, run.seed, run.schedule)
        return size, lowered.as_text()

    programs = {program(phase, steps) for steps, phase in enumerate(quickstart.SHARES, 7)}
    assert sorted(size for size, _ in programs) == [32, 64]  # as the probe takes for granted


def test_every_command_names_a_module_and_a_config_that_exist():
    root = pathlib.Path(quickstart.__file__).parent
    probed = {"steps": dict.fromkeys(quickstart.SHARES, 1)}
    for command in quickstart.commands(pathlib.Path("runs/x"), probed):
        assert (root / f"{command[0].removeprefix('vision_banana.')}.py").exists()
        if "--config" in command:
            path, _, phase = command[command.index("--config") + 1].partition(":")
            assert pathlib.Path(path).exists() and phase in quickstart.SHARES
