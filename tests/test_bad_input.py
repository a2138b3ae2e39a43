"""What commands say to arguments that they do not know, and to Ctrl-C."""

import pytest
from exit_codes import exit_code

from vision_banana import _bad_input
from vision_banana.evaluation import evaluate_arguments

NAMES = ["nyu_depth", "scenes", "ade20k"]


def test_the_nearest_names_or_all():
    assert _bad_input.nearest("nyu_dpth", NAMES) == "did you mean nyu_depth?"
    assert _bad_input.nearest("xyz", NAMES) == ""
    assert _bad_input.nearest_or_all("xyz", NAMES) == "it must be one of nyu_depth, scenes, ade20k"
    assert _bad_input.nearest_or_all(5, NAMES) == "it must be one of nyu_depth, scenes, ade20k"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nmae=scenes"], "p: unrecognized arguments: --nmae=scenes; did you mean --name?"),
        (["--name", "nyu_dpth"], "p: argument --name: 'nyu_dpth' is unknown; did you mean nyu_dep"),
        (["--name", "xyz"], "p: argument --name: 'xyz' is unknown; it must be one of nyu_depth, "),
        (["more"], "p: unrecognized arguments: more; see --help"),
        (["--count", "x"], "p: argument --count: invalid int value: 'x'"),
        (["--coun", "3"], "p: unrecognized arguments: --coun 3; did you mean --count?"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, arguments, says):
    parser = _bad_input.Parser(prog="p", description="a\n\n    b")
    parser.add_argument("--name", choices=NAMES, default="scenes")
    parser.add_argument("--count", type=int)
    assert exit_code(parser.parse_args, arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(says) and error.count("\n") == 1
    assert "\n    b\n" in parser.format_help()
    assert parser.parse_args(["--name", "ade20k"]).name == "ade20k"


def test_a_command_of_many_names_says_the_nearest(capsys):
    assert exit_code(evaluate_arguments.parse, ["--checkpoint=pocket", "--benchmark=nyu_dpth"]) == 2
    error = capsys.readouterr().err
    assert "did you mean nyu_depth" in error and error.count("\n") == 1 and "ade20k" not in error


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ValueError("a\n b"), 2, "p: a b\n"),
        (FileNotFoundError("gone"), 2, "p: gone\n"),
        (KeyboardInterrupt(), 130, "\np: interrupted\n"),
    ],
)
def test_exits(capsys, error, code, says):
    with pytest.raises(SystemExit) as stopped, _bad_input.exits("p"):
        raise error
    assert stopped.value.code == code and capsys.readouterr().err == says
