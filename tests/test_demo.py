"""The demo command's arguments and mistakes; its page is tested in a browser."""

import sys

import nano_run
from exit_codes import exit_code

from vision_banana import demo, prefer


def test_without_weights_it_is_one_sentence(tmp_path, capsys):
    assert exit_code(demo.main, []) == 2
    assert "give --workdir" in capsys.readouterr().err
    assert exit_code(demo.main, ["--workdir", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("demo: ") and error.count("\n") == 1


def test_without_gradio_the_extra_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert exit_code(demo.main, ["--checkpoint", str(nano_run.write(tmp_path / "nano"))]) == 2
    assert "pip install 'vision-banana[demo]'" in capsys.readouterr().err


def test_limits_that_let_nothing_in_are_refused(tmp_path, capsys):
    for name in ("max_megabytes", "max_megapixels", "max_waiting"):
        assert exit_code(demo.main, ["--checkpoint", "x", f"--{name}", "0"]) == 2
        assert f"--{name} is 0; it must be above 0" in capsys.readouterr().err
    for name in ("max_megabytes", "max_megapixels"):
        for value in ("inf", "nan"):
            assert exit_code(demo.main, ["--checkpoint", "x", f"--{name}", value]) == 2
            said = f"demo: --{name} is {value}; it must be above 0 and finite\n"
            assert capsys.readouterr().err == said


def test_a_number_that_is_no_port_is_refused(capsys):
    for port in ("0", "99999"):
        assert exit_code(demo.main, ["--checkpoint", "x", "--port", port]) == 2
        said = f"demo: --port is {port}; it must be from 1 to 65535\n"
        assert capsys.readouterr().err == said
    assert exit_code(prefer.main, ["x", "y", "--votes", "z", "--port", "99999"]) == 2
    assert "--port is 99999" in capsys.readouterr().err
