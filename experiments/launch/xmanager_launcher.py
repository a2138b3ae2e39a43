"""One XManager work unit for each point of a sweep's stage.

    xmanager launch experiments/launch/xmanager_launcher.py -- \
        --sweep=experiments/mix_keeps_drawing/sweep.py --stage=tune --folder=gs://BUCKET/mix \
        --executor=vertex --resources=a100=1
    python -m experiments.launch.xmanager_launcher --dry_run --sweep=... --stage=... --folder=...

For those who have XManager (`pip install xmanager`, https://github.com/google-deepmind/xmanager,
README.md and docs/executors.md). Its open-source form runs containers on this machine (`local`)
and on Vertex AI (`vertex`), there with GPUs or TPU v2 and v3; for newer TPUs see README.md. A stage
that starts from an earlier one's folders is launched when that has ended. `--dry_run` prints the
work units, needs no XManager, and launches nothing.
"""

import pathlib
import shlex
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

from absl import app, flags

ROOT = pathlib.Path(__file__).parents[2]
if str(ROOT) not in sys.path:  # `xmanager launch` runs this file on its own
    sys.path.insert(0, str(ROOT))

from experiments import points  # noqa: E402

_DOCKERFILE = pathlib.Path(__file__).with_name("Dockerfile")
_NO_ACCELERATORS = ("cpu", "memory", "ram", "disk", "ephemeral_storage")
_SWEEP = flags.DEFINE_string("sweep", None, "Python file that defines stages(folder).")
_STAGE = flags.DEFINE_string("stage", None, "The stage to launch.")
_FOLDER = flags.DEFINE_string("folder", None, "Gets the work folders; a bucket for vertex.")
_EXECUTOR = flags.DEFINE_enum("executor", "local", ["local", "vertex"], "Where to run.")
_RESOURCES = flags.DEFINE_list("resources", [], "What a work unit needs, as in a100=1,cpu=8.")
_IMAGE = flags.DEFINE_string("image", None, "Where the image goes; XManager's own place if unset.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the work units, launch nothing.")


def resources(words: Sequence[str]) -> dict[str, float]:
    """Resources from words such as "a100=1"; raises ValueError for others."""
    found = {}
    for word in words:
        name, _, amount = word.partition("=")
        if not name or not amount.replace(".", "", 1).isdecimal():
            raise ValueError(f"--resources has {word!r}: write NAME=NUMBER, as in a100=1")
        found[name] = float(amount)
    return found


def work_units(sweep: str, stage: str, folder: str) -> list[points.Run]:
    """The runs of one stage, once all of the sweep has been checked.

    Raises:
      ValueError: a sweep with a mistake, or without that stage.
    """
    stages = points.load_module(sweep).stages(folder)
    runs = [run for run in points.plan(stages, folder) if run.stage.name == stage]
    if not runs:
        names = ", ".join(one.name for one in stages)
        raise ValueError(f"--stage is {stage!r}: {sweep} has {names}")
    return runs


def write_dockerfile(folder: pathlib.Path, needs: Iterable[str]) -> str:
    """Writes the Dockerfile of an image for some resources, with JAX for GPU where one is a GPU.

    It is a copy, since XManager passes no build arguments.

    Args:
      folder: gets it, and beside it what is not to be sent to the builder.
      needs: names of resources.

    Returns:
      Its path.
    """
    names = {name.lower() for name in needs}.difference(_NO_ACCELERATORS)
    jax = "cuda" if any(not name.startswith("tpu") for name in names) else "tpu"
    for name in ("Dockerfile", "Dockerfile.dockerignore"):
        text = _DOCKERFILE.with_name(name).read_text()
        (folder / name).write_text(text.replace("ARG JAX=tpu", f"ARG JAX={jax}"))
    return str(folder / "Dockerfile")


def launch(runs: Sequence[points.Run], needs: dict[str, float]) -> None:
    """Packages this checkout as a container and adds a work unit for each run."""
    from xmanager import xm, xm_local

    requirements = xm.JobRequirements(**needs)
    if _EXECUTOR.value == "vertex":
        spec = xm_local.Vertex.Spec(push_image_tag=_IMAGE.value)
        executor: Any = xm_local.Vertex(requirements=requirements)
    else:
        spec, executor = xm_local.Local.Spec(), xm_local.Local(requirements=requirements)
    with xm_local.create_experiment(experiment_title=runs[0].stage.name) as experiment:
        with tempfile.TemporaryDirectory() as folder:
            dockerfile = write_dockerfile(pathlib.Path(folder), needs)
            image = xm.Dockerfile(path=str(ROOT), dockerfile=dockerfile)
            [executable] = experiment.package([xm.Packageable(image, spec)])
        for run in runs:
            experiment.add(xm.Job(executable, executor, args=points.as_one(run)))


def main(argv: list[str]) -> None:
    """The command."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    try:
        runs = work_units(_SWEEP.value, _STAGE.value, _FOLDER.value)
        needs = resources(_RESOURCES.value)
    except ValueError as error:
        raise app.UsageError(str(error)) from error
    if _DRY_RUN.value:
        print(
            f"# {len(runs)} work units, each on {_EXECUTOR.value} with {needs or 'no accelerator'}"
        )
        print("\n".join(shlex.join(points.as_one(run)) for run in runs))
    else:
        launch(runs, needs)


if __name__ == "__main__":
    flags.mark_flags_as_required(["sweep", "stage", "folder"])
    app.run(main)
