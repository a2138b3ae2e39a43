"""Opens a trained generator for use: its model, its weights and the config it was trained with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from vision_banana.models import generator
from vision_banana.models.generator import Generator, Params
from vision_banana.training import fingerprint, sharding
from vision_banana.training.checkpoint import Checkpoints


class Trained(NamedTuple):
    """A generator with its weights.

    Attributes:
      model: the generator.
      params: its weights.
      config: the config it was trained with, a plain dict.
      step: the training step of the weights.
    """

    model: Generator
    params: Params
    config: dict[str, Any]
    step: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels of the pictures it was trained on."""
        return (self.config["data"]["size"],) * 2

    @property
    def shift(self) -> float:
        """The resolution shift of its training times, which that of sampling follows."""
        return self.config["time"]["shift"]

    @property
    def weights(self) -> str:
        """What tells these weights from all others, see `fingerprint.of`."""
        return fingerprint.of(self.params)


def load(
    workdir: str, language: Mapping[str, Any], which: str = "ema", step: int | None = None
) -> Trained:
    """Loads the newest weights of a run; a damaged checkpoint is passed over.

    Args:
      workdir: the run's folder.
      language: what this code speaks (`vision_banana.data.language.describe()`); the weights must
        speak the same.
      which: "ema" or "params".
      step: the checkpoint's step; None takes the newest good one.

    Raises:
      FileNotFoundError: where the folder holds no complete checkpoint.
      ValueError: where the weights speak another language; names what differs.
    """
    checkpoints = Checkpoints(workdir, read_only=True)
    mesh = sharding.all_devices()

    def read(candidate: int) -> Trained:
        description = checkpoints.description(candidate)
        check_language(description["language"], language, str(checkpoints.folder))
        config = description["config"]
        model = generator.from_config(config["model"], mesh.devices.flat[0].platform)
        weights = checkpoints.read_weights(model, mesh, which, candidate)
        return Trained(model, weights, config, candidate)

    _, found = checkpoints.newest_good(read, step)
    checkpoints.close()
    return found


def check_language(saved: Mapping[str, Any], ours: Mapping[str, Any], where: str) -> None:
    """Checks that a checkpoint's prompts and colour codes are those of this code.

    Raises:
      ValueError: naming what differs.
    """
    for name in sorted(set(saved) | set(ours)):
        if saved.get(name) != ours.get(name):
            raise ValueError(
                f"{where} was trained with {name} = {saved.get(name)!r}, but this version has "
                f"{ours.get(name)!r}; its answers would be misread. Use the version of "
                "vision_banana that trained it, or train again"
            )
