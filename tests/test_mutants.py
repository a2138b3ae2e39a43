"""The list of mistakes fits the code, and its runner tells what is caught from what is not."""

import ast
import collections

import mutants
import pytest

MUTANTS = mutants.load()


def test_the_list_is_long_and_its_names_are_unique():
    assert len(MUTANTS) >= 50
    twice = [name for name, n in collections.Counter(m.name for m in MUTANTS).items() if n > 1]
    assert not twice


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_every_mistake_can_be_made(mutant):
    text = mutants.mutated(mutant)
    assert mutant.new != mutant.old
    ast.parse(text)
    for test in mutant.tests:
        file, _, name = test.partition("::")
        source = (mutants.ROOT / file).read_text()
        assert not name or f"\ndef {name}(" in source, f"there is no {test}"


TINY = """
[[mutant]]
name = "caught"
file = "vision_banana/half.py"
old = "x / 2"
new = "x / 3"
tests = ["tests/test_half.py"]

[[mutant]]
name = "survivor"
file = "vision_banana/half.py"
old = "LIMIT = 5"
new = "LIMIT = 6"
tests = ["tests/test_half.py"]

[[mutant]]
name = "gone"
file = "vision_banana/half.py"
old = "x / 4"
new = "x / 5"
tests = ["tests/test_half.py"]

[[mutant]]
name = "broken"
file = "vision_banana/half.py"
old = "x / 2"
new = "x /"
tests = ["tests/test_half.py"]

[[mutant]]
name = "crash"
file = "vision_banana/half.py"
old = "return x / 2"
new = "import os; os._exit(1)"
tests = ["tests/test_half.py"]
"""


def test_the_runner_tells_caught_from_survived(tmp_path, monkeypatch, capsys):
    (tmp_path / "vision_banana").mkdir()
    (tmp_path / "vision_banana" / "__init__.py").touch()
    half = tmp_path / "vision_banana" / "half.py"
    half.write_text("LIMIT = 5\n\n\ndef half(x):\n    return x / 2\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "mutants.toml").write_text(TINY)
    test = tmp_path / "tests" / "test_half.py"
    test.write_text(
        "from vision_banana import half\n\n\ndef test_half():\n    assert half.half(4) == 2\n"
    )
    assert mutants.main([], tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[1/5] caught: caught    tests/test_half.py::test_half"
    assert lines[1].startswith("[2/5] survivor: SURVIVED")
    assert lines[2].startswith("[3/5] gone: NO MATCH  gone: its old text stands 0 times")
    assert lines[3].startswith("[4/5] broken: NOT RUN")
    assert lines[4].startswith("[5/5] crash: NOT RUN")  # pytest, too, ends with 1 where one fails
    assert lines[5] == "1 of 5 mistakes caught"
    assert half.read_text().endswith("return x / 2\n")  # the original is not touched
    assert mutants.main(["--only", "caught"], tmp_path) == 0
    monkeypatch.setattr(mutants, "TIMEOUT_S", 0.0)
    capsys.readouterr()
    assert mutants.main(["--only", "caught"], tmp_path) == 1
    assert "caught: NO END    no end within" in capsys.readouterr().out
    test.write_text("def test_half():\n    assert False\n")
    assert mutants.main(["--only", "caught"], tmp_path) == 1
    assert "not green without any mistake" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        mutants.main(["--only", "caugt"], tmp_path)
