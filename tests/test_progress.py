"""What a command says while it works."""

import time

from vision_banana import _progress


def test_stages_are_counted_and_named(capsys):
    with _progress.stages(2) as begin:
        with begin("asking"):
            pass
        with begin("drawing"):
            assert "drawing:  50%" in capsys.readouterr().err
    assert "drawing: 100%" in capsys.readouterr().err


def test_only_what_takes_long_is_told(capsys, monkeypatch):
    with _progress.stage("quick"):
        pass
    monkeypatch.setattr(_progress, "SILENCE", 0.01)
    with _progress.stage("slow"):
        until = time.monotonic() + 60
        said = ""
        while not said and time.monotonic() < until:
            time.sleep(0.01)
            said = capsys.readouterr().err
    assert said == "slow ...\n"
