import json
import pathlib
import subprocess

import pytest

from vision_banana import quickstart


@pytest.fixture
def ran(monkeypatch):
    """Commands that would have run, none of which does."""
    seen = []

    def run(command, check):
        seen.append(command[2:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    times = {"pretrain": 0.25, "tune": 0.5, "finish": 1.0}
    monkeypatch.setattr(quickstart, "_seconds_per_step", times.get)
    return seen


def test_the_probe_shares_out_the_time(ran, tmp_path):
    quickstart.main(["--folder", str(tmp_path), "--minutes", "15"])
    probed = json.loads((tmp_path / "probe.json").read_text())
    left = 15 * 60 - quickstart.OVERHEAD
    spent = {"pretrain": 0.25, "tune": 0.5, "finish": 1.0}
    assert set(probed["steps"]) == set(spent)
    total = sum(probed["steps"][phase] * seconds for phase, seconds in spent.items())
    assert total == pytest.approx(left, abs=3)
    names = [command[0].removeprefix("vision_banana.") for command in ran]
    assert names == ["train", "train", "train", "evaluate", "report"]
    assert f"--config.steps={probed['steps']['tune']}" in ran[1]
    assert f"--config.init_from={tmp_path / 'pretrain'}" in ran[1]
    assert f"--config.init_from={tmp_path / 'tune'}" in ran[2]
    assert ran[3][ran[3].index("--workdir") + 1] == str(tmp_path / "finish")


def test_a_stored_number_of_steps_is_used_again(ran, tmp_path):
    stored = {"steps": {"pretrain": 3, "tune": 5, "finish": 2}}
    other = tmp_path / "other.json"
    other.write_text(json.dumps(stored))
    folder = tmp_path / "run"
    quickstart.main(["--folder", str(folder), "--probe", str(other)])
    quickstart.main(["--folder", str(folder)])
    assert ran[0] == ran[5] and "--config.steps=3" in ran[0]
    assert json.loads((folder / "probe.json").read_text()) == stored


def test_a_part_that_fails_stops_the_rest(monkeypatch, tmp_path):
    monkeypatch.setattr(quickstart, "_seconds_per_step", lambda phase: 1.0)
    monkeypatch.setattr(
        subprocess, "run", lambda command, check: subprocess.CompletedProcess(command, 3)
    )
    with pytest.raises(SystemExit, match=r"vision_banana\.train failed with exit code 3"):
        quickstart.main(["--folder", str(tmp_path)])


def test_every_command_names_a_module_and_a_config_that_exist():
    root = pathlib.Path(quickstart.__file__).parent
    for command in quickstart.commands(pathlib.Path("runs/x"), dict.fromkeys(quickstart.SHARES, 1)):
        assert (root / f"{command[0].removeprefix('vision_banana.')}.py").exists()
        if "--config" in command:
            path, _, phase = command[command.index("--config") + 1].partition(":")
            assert pathlib.Path(path).exists() and phase in quickstart.SHARES
