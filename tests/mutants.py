"""Makes each small mistake of `mutants.toml` alone in a copy and says which test turns red.

    python tests/mutants.py [--only NAME ...]

It first runs the named tests without any mistake. It exits with 1 where a mistake survives, its
text no longer stands exactly once in its file, its tests cannot run or do not end, or the tests are
red without it. Tests run in processes forked from one that has imported the libraries, and nothing
of this project, already.
"""

import argparse
import contextlib
import multiprocessing
import os
import pathlib
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
LIBRARIES = ["pytest", "hypothesis", "jax.numpy", "numpy", "scipy.optimize", "scipy.stats", "PIL"]
COPIED = ("vision_banana", "configs", "tests", "pyproject.toml")
TIMEOUT_S = 900  # for the tests of one mistake


class Mutant(NamedTuple):
    """One mistake: `old` becomes `new` in `file`, and one of `tests` must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]


def load(root: pathlib.Path = ROOT) -> list[Mutant]:
    table = tomllib.loads((root / "tests" / "mutants.toml").read_text())
    return [Mutant(**row) for row in table["mutant"]]


def mutated(mutant: Mutant, root: pathlib.Path = ROOT) -> str:
    """The file's text with the mistake.

    Raises ValueError where `old` does not stand exactly once in the file.
    """
    text = (root / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name}: its old text stands {text.count(mutant.old)} times in {mutant.file}, "
            "once is needed: write into tests/mutants.toml what stands there now"
        )
    return text.replace(mutant.old, mutant.new)


def run_tests(
    root: pathlib.Path, tests: Sequence[str], timeout_s: float | None
) -> tuple[int, str, str]:
    """pytest's exit code (-1 out of time), the first red test ("" for none), the last line."""
    output = root / "output.txt"
    output.write_text("")
    process = multiprocessing.get_context("forkserver").Process(
        target=_pytest, args=(str(root), list(tests), str(output))
    )
    process.start()
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
        return -1, "", f"no end within {timeout_s} s"
    printed = output.read_text()
    red = re.search(r"^(?:FAILED|ERROR) (\S+)", printed, re.MULTILINE)
    last = printed.strip().splitlines()[-1:]
    return process.exitcode, red.group(1) if red else "", " ".join(last)


def _pytest(root: str, tests: list[str], output: str) -> None:
    """Runs tests of the copy; in a process of its own, since it never returns."""
    import pytest

    os.chdir(root)
    os.environ["PYTHONPATH"] = root  # for tests that start Python themselves
    sys.path = [root, *(path for path in sys.path if not path.startswith(str(ROOT / "tests")))]
    sys.dont_write_bytecode = True
    options = [
        "--disable-warnings",
        "-x",
        "-q",
        "--tb=no",
        "--no-header",
        "-rfE",
        "-p",
        "no:cacheprovider",
        "--numprocesses=0",  # in here: libraries are loaded, and -x ends with 1, not with 2
    ]
    with open(output, "w") as file, contextlib.redirect_stdout(file):
        code = pytest.main([*options, *tests])
    os._exit(int(code))


def main(arguments: Sequence[str] | None = None, root: pathlib.Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of mistakes to make")
    only = parser.parse_args(arguments).only
    mutants = load(root)
    unknown = set(only or ()) - {m.name for m in mutants}
    if unknown:
        parser.error(f"no mutant is called {', '.join(sorted(unknown))}")
    chosen = [m for m in mutants if not only or m.name in only]
    os.environ["JAX_PLATFORMS"] = "cpu"  # read when jax is imported, before the tests' conftest
    multiprocessing.get_context("forkserver").set_forkserver_preload(LIBRARIES)
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(
                    root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
                )
            elif (root / name).exists():
                shutil.copy(root / name, copy / name)
        return _judge(copy, chosen)


def _judge(copy: pathlib.Path, mutants: Sequence[Mutant]) -> int:
    tests = {test for mutant in mutants for test in mutant.tests}
    code, red, last = run_tests(copy, sorted(tests), None)
    if code:
        print(f"the tests are not green without any mistake: {red or last}")
        return 1
    bad = 0
    for number, mutant in enumerate(mutants, 1):
        try:
            text = mutated(mutant, copy)
        except ValueError as e:
            verdict, bad = f"NO MATCH  {e}", bad + 1
        else:
            path = copy / mutant.file
            whole = path.read_text()
            path.write_text(text)
            code, red, last = run_tests(copy, mutant.tests, TIMEOUT_S)
            path.write_text(whole)
            if code == 1 and red:
                verdict = f"caught    {red}"
            elif code == 0:
                verdict = f"SURVIVED  {' '.join(mutant.tests)}"
            elif code == -1:  # a slow machine, perhaps, and no red test
                verdict = f"NO END    {last}"
            else:  # pytest could not run the tests, or their process ended under it
                verdict = f"NOT RUN   {red or last}"
            bad += not verdict.startswith("caught")
        print(f"[{number}/{len(mutants)}] {mutant.name}: {verdict}", flush=True)
    print(f"{len(mutants) - bad} of {len(mutants)} mistakes caught")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
