import pytest
import tiny_run

from vision_banana.bench import loop


def test_the_verdicts_by_hand():
    result = {
        "own": {"median": 0.001, "mean": 0.0015, "steps": 7},
        "checkpoint": {"step": 0.1, "blocked": 2.0, "added": 1.5, "every": 1000},
        "start": {"first": 30.0, "second": 7.5},
    }
    own, checkpoint, start = loop.report(result).splitlines()
    assert "median 1.00 ms, mean 1.50 ms" in own and own.endswith("yes")
    assert "for 2000 ms" in checkpoint and "take 1500 ms longer" in checkpoint
    assert "1.96% of" in checkpoint and checkpoint.endswith("yes")  # 2 of 102 s
    result["checkpoint"]["added"] = 2.1  # of 102.1 s: what is written beside the steps counts
    checkpoint = loop.report(result).splitlines()[1]
    assert "2.06% of" in checkpoint and checkpoint.endswith("NO")
    assert "4.0 times faster" in start and start.endswith("NO")


def test_the_loop_and_checkpoints_in_small(monkeypatch, tmp_path):
    tiny_run.install(monkeypatch)
    own = loop.own_seconds(tiny_run.config(), str(tmp_path / "stub"), 5)
    assert len(own) == 4 and min(own) > 0
    times = loop.checkpoint_seconds(tiny_run.config(), str(tmp_path / "saved"), 2)
    assert times["step"] > 0 and times["blocked"] > 0 and "added" in times
    assert (tmp_path / "saved" / "checkpoints" / "25").exists()  # 5 and 5 steps, saves between


def test_a_start_that_fails_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(loop.pocket, "__file__", "no_such_config.py")
    with pytest.raises(RuntimeError, match=r"no_such_config.py.* ended with code"):
        loop.start_seconds(str(tmp_path))
