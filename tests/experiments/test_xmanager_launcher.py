"""The XManager launcher: its dry run, and what it asks of XManager, which is not installed here."""

import pathlib
import shlex
import subprocess
import sys
import types

import commands
import pytest
from absl.testing import flagsaver

from experiments import points
from experiments.launch import xmanager_launcher as launcher

FILE = """
from experiments import points
TUNE = "configs/quickstart.py:tune"
def stages(folder):
    return [points.Stage("first", TUNE, [{}]),
            points.Stage("second", TUNE, points.values("seed", [0, 1]), ["--steps 1"])]
"""


@pytest.fixture
def sweep(tmp_path):
    path = tmp_path / "sweep.py"
    path.write_text(FILE)
    return str(path)


def test_a_dry_run_prints_each_work_unit(sweep):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.launch.xmanager_launcher", "--dry_run",
         f"--sweep={sweep}", "--stage=second", "--folder=gs://b/my runs", "--executor=vertex",
         "--resources=a100=8"],
        cwd=commands.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    head, *lines = done.stdout.splitlines()
    assert head == "# 2 work units, each on vertex with {'a100': 8.0}"
    shell, flag, both = shlex.split(lines[1])
    train, evaluate = map(shlex.split, both.split(" && "))
    assert (shell, flag) == ("sh", "-c")
    assert train[-3:] == ["--workdir", "gs://b/my runs/second/1", "--config.seed=1"]
    assert evaluate[2] == "vision_banana.evaluate" and evaluate[-2:] == ["--steps", "1"]


def test_arguments_that_make_no_sense(sweep):
    with pytest.raises(ValueError, match="has first, second"):
        launcher.work_units(sweep, "third", "f")
    for word in ("a100", "=1", "a100=many"):
        with pytest.raises(ValueError, match="NAME=NUMBER"):
            launcher.resources([word])


@pytest.mark.parametrize(
    ("needs", "jax"),
    [(["A100", "cpu"], "cuda"), (["local_gpu"], "cuda"), (["TPU_V3", "ram"], "tpu"), ([], "tpu")],
)
def test_an_image_has_jax_for_what_it_runs_on(needs, jax, tmp_path):
    path = launcher.write_dockerfile(tmp_path, needs)
    given = commands.ROOT / "experiments" / "launch" / "Dockerfile"
    assert pathlib.Path(path).read_text() == given.read_text().replace("JAX=tpu", f"JAX={jax}")
    assert (tmp_path / "Dockerfile.dockerignore").read_text().split() == ["*", "!.git"]


@pytest.mark.parametrize("executor", ["local", "vertex"])
def test_a_work_unit_for_each_point(executor, sweep, monkeypatch):
    added, packaged, built = [], [], []

    class Experiment:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def package(self, what):
            packaged.extend(what)
            built.append(pathlib.Path(what[0].executable_spec.dockerfile).read_text())
            return ["executable"]

        def add(self, job):
            added.append(job)

    def kept(*names):  # a class of the outside that only keeps what it was given
        return lambda *a, **k: types.SimpleNamespace(**dict(zip(names, a, strict=False)), **k)

    xm = types.SimpleNamespace(
        JobRequirements=dict, Dockerfile=kept(), Packageable=kept("executable_spec", "spec"),
        Job=kept("executable", "executor"),
    )  # fmt: skip
    local, vertex = kept(), kept()
    local.Spec = vertex.Spec = kept()
    xm_local = types.SimpleNamespace(
        Local=local, Vertex=vertex, create_experiment=lambda experiment_title: Experiment()
    )
    monkeypatch.setitem(sys.modules, "xmanager", types.SimpleNamespace(xm=xm, xm_local=xm_local))
    runs = launcher.work_units(sweep, "second", "gs://b")
    with flagsaver.flagsaver(executor=executor, image="gcr.io/p/i:1"):
        if not launcher.flags.FLAGS.is_parsed():
            launcher.flags.FLAGS.mark_as_parsed()
        launcher.launch(runs, {"a100": 8.0})
    [image] = packaged
    assert image.executable_spec.path == str(commands.ROOT)
    assert "ARG JAX=cuda" in built[0]
    assert vars(image.spec) == ({"push_image_tag": "gcr.io/p/i:1"} if executor == "vertex" else {})
    assert [job.args for job in added] == [points.as_one(run) for run in runs]
    assert added[0].executor.requirements == {"a100": 8.0}
