"""Imports go downward only, and the core needs neither TensorFlow nor PyTorch."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "vision_banana"
COMMANDS = {
    "train", "evaluate", "sample", "report", "export", "quickstart", "compile", "cli", "demo",
    "prefer",
}  # fmt: skip
# What each room may import of this project.
ALLOWED = {
    "metrics": {"metrics"},
    "tasks": {"tasks", "metrics"},
    "diffusion": {"diffusion"},
    "text": {"text"},
    "models": {"models"},
    "data": {"data", "tasks", "text"},
    "training": {"training", "models", "diffusion"},
    "evaluation": {
        "evaluation", "data", "tasks", "metrics", "diffusion", "models", "text", "training",
    },
    "api": {"api", "evaluation", "data", "tasks", "diffusion", "training"},
    "web": {"web", "api", "evaluation", "data", "tasks"},
    # What notebooks draw; nobody imports it.
    "plots": {"plots", "api", "evaluation", "metrics", "tasks", "training"},
    # A command that has grown a room: it may import anything, and nobody imports it.
    "bench": {
        "bench", "evaluation", "data", "tasks", "metrics", "diffusion", "models", "text",
        "training",
    },
    "pods": {"pods", "models", "diffusion", "training", "evaluation"},
}  # fmt: skip
EVERYWHERE = {"_bad_input", "_progress"}  # import nothing of this project
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)


def imported(path):
    """Dotted names that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path):
    room = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "vision_banana" and len(parts) > 1:
            assert parts[1] in ALLOWED[room] | EVERYWHERE, f"{room} may not import {name}"
            assert parts[1] not in COMMANDS
        if parts[0] == "flax":
            assert room == "models", f"only models may import flax, {path.name} does"
        assert parts[0] != "tensorflow", f"{path.name} imports {name}"
        assert parts[0] != "torch" or room == "bench", f"{path.name} imports {name}"


@pytest.mark.parametrize(
    "names",
    [
        "train, evaluate, sample, report, export, quickstart, cli, demo, prefer, bench.__main__",
        "compile",
    ],
)
def test_the_core_imports_without_optional_packages(names):
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'torch', 'tensorflow_datasets', 'matplotlib', 'pytest',"
        " 'trimesh', 'flatbuffers', 'cv2', 'skimage', 'libtpu', 'pyarrow', 'pdqhash',"
        " 'pycocotools', 'gradio', 'playwright', 'wandb'):\n"
        "    sys.modules[name] = None\n"
        + "\n".join(f"import vision_banana.{name}" for name in names.split(", "))
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
