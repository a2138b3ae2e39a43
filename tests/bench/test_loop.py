import pytest
import tiny_run

from vision_banana.bench import loop


def test_the_verdicts_by_hand():
    result = {
        "own": {"median": 0.001, "mean": 0.0015, "steps": 7},
        "checkpoint": {"step": 0.1, "blocked": 2.0, "every": 1000},
        "start": {"first": 30.0, "second": 7.5},
    }
    own, checkpoint, start = loop.report(result).splitlines()
    assert "median 1.00 ms, mean 1.50 ms" in own and own.endswith("yes")
    assert "for 2000 ms, 1.96% of" in checkpoint and checkpoint.endswith("yes")  # 2 of 102 s
    assert "4.0 times faster" in start and start.endswith("NO")


def test_the_loop_and_checkpoints_in_small(monkeypatch, tmp_path):
    tiny_run.install(monkeypatch)
    own = loop.own_seconds(tiny_run.config(), str(tmp_path / "stub"), 5)
    assert len(own) == 4 and min(own) > 0
    step, save = loop.checkpoint_seconds(tiny_run.config(), str(tmp_path / "saved"), 2)
    assert step > 0 and save > 0
    assert (tmp_path / "saved" / "checkpoints" / "3").exists()


def test_a_start_that_fails_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(loop.pocket, "__file__", "no_such_config.py")
    with pytest.raises(RuntimeError, match=r"no_such_config.py.* ended with code"):
        loop.start_seconds(str(tmp_path))
