"""Every command and every block of code in the documents runs."""

import contextlib
import pathlib
import re
import shlex
import subprocess

import documents
import pytest
from commands import ROOT

from vision_banana import tasks
from vision_banana.data import sources
from vision_banana.evaluation.benchmarks import BENCHMARKS

FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "colabs" / "README.md"]
FILES += [
    *sorted((ROOT / "docs").glob("*.md")),
    *ROOT.glob("vision_banana/checkpoints/*/README.md"),
]
STUDIES = sorted((ROOT / "experiments").rglob("README.md"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What documents name."""
    return documents.prepare(tmp_path_factory.mktemp("documents"))


@pytest.fixture
def tasks_restored():
    """Takes out what a document adds to the tasks."""
    known = dict(tasks.TASKS)
    yield
    tasks.TASKS.clear()
    tasks.TASKS.update(known)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_what_a_document_shows_runs(file, prepared, tasks_restored, monkeypatch):
    monkeypatch.setattr(
        "vision_banana.training.pretrained.FOLDER", prepared / "checkpoints", raising=True
    )
    monkeypatch.syspath_prepend(prepared / "asked")
    written = prepared / "asked" / "vision_banana" / "tasks"
    monkeypatch.setattr("vision_banana.tasks.__path__", [*tasks.__path__, str(written)])
    commands = documents.Commands(prepared, monkeypatch)
    names = {"__name__": file.stem}
    for block in documents.blocks(file.read_text("utf-8")):
        place = f"{file.name}, line {block.line}"
        if block.kind == "python" and block.title:
            (prepared / "asked" / block.title).parent.mkdir(parents=True, exist_ok=True)
            (prepared / "asked" / block.title).write_text(block.text)
        elif block.kind == "python":
            with contextlib.chdir(prepared / "asked"):
                exec(compile("\n" * block.line + block.text, str(file), "exec"), names)
        elif block.kind == "bash":
            for line in documents.lines(block.text):
                try:
                    commands.run(line)
                except (Exception, SystemExit) as error:
                    raise AssertionError(f"{place}: {' '.join(line.words)}: {error!r}") from error
        else:
            assert block.kind in documents.SHOWN, f"{place}: write bash, python, json or text"


def test_options_of_the_studies_commands_exist(prepared, monkeypatch):
    """They take hours, a cluster or data, so that none is run."""
    commands, checked = documents.Commands(prepared, monkeypatch), 0
    for file in STUDIES:
        for block in documents.blocks(file.read_text("utf-8")):
            for line in documents.lines(block.text):
                words = list(line.words)
                while words[:2] == ["python", "-m"]:
                    # A launch has the command that it launches behind two dashes.
                    at = words.index("--") if "--" in words else len(words)
                    command, words = words[:at], words[at + 1 :]
                    if "..." not in command:
                        commands.run(documents.Line(tuple(command), "hours"))
                        checked += 1
    assert checked >= 15


def test_blocks_and_lines_by_hand():
    text = (
        "words\n```python\nx = 1\n```\n* item\n  ```bash\n  make a  # needs a TPU\n"
        "  python -m b \\\n    --c 'd e'\n  ```\n"
    )
    first, second = documents.blocks(text)
    assert first == (2, "python", "", "x = 1\n")
    assert (second.line, second.kind) == (6, "bash")
    assert list(documents.lines(second.text)) == [
        (("make", "a"), "a TPU"),
        (("python", "-m", "b", "--c", "d e"), ""),
    ]
    assert [x.needs for x in documents.lines("# needs rain\nmake a\nmake b\n")] == ["rain"] * 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("make nonsense", "returned non-zero exit status"),
        ("python -m vision_banana.evaluate --workdir runs/x --cuont 3", "SystemExit"),
        ("python -m vision_banana.evaluate --cuont 3  # needs rain", "has no --cuont"),
        ("python -m vision_banana.train --config configs/pocket.py --workdir x --wrokdir y",
         "wrokdir"),
        ("python -m vision_banana.nothing", "No module named"),
        ("pip install 'vision-banana[everything]'", "everything"),
        ("rm -r x", "say in tests/documents.py"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_document_is_found(line, says, prepared, monkeypatch):
    commands = documents.Commands(prepared, monkeypatch)
    with pytest.raises((Exception, SystemExit)) as found:
        for one in documents.lines(line):
            commands.run(one)
    assert says in repr(found.value) or says in str(found.value)


def test_documents_name_files_that_exist():
    """Paths in backticks that look like files of the project."""
    for file in FILES + STUDIES:
        for name in re.findall(r"`((?:vision_banana|configs|tests|experiments|docs)/[\w/.]+\.\w+)`",
                               file.read_text("utf-8")):  # fmt: skip
            assert (pathlib.Path(ROOT) / name).exists(), f"{file.name} names {name}"


def test_every_source_and_benchmark_has_a_page():
    opened = {module for module, _ in sources.SOURCES.values()}
    opened |= {row.source["name"].partition(":")[0] for row in BENCHMARKS.values()}
    shown = (ROOT / "docs" / "api" / "data.md").read_text().split()
    assert {name for name in opened if "." in name} <= set(shown)


def test_documents_name_no_other_address_of_the_project():
    address = documents.PROJECT["urls"]["Repository"]
    for file in FILES:
        for name in re.findall(r"https://github\.com/vision[\w-]*/[\w-]+", file.read_text("utf-8")):
            assert name == address, file


def test_make_takes_a_photograph_whose_name_has_spaces():
    said = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "depth", "PHOTO=my photo.jpg"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert shlex.split(said.splitlines()[-1])[-2:] == ["--image", "my photo.jpg"]
