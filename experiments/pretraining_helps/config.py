"""The phases of the study; `experiments/pretraining_helps/sweep.py` runs them."""

import ml_collections

from configs import quickstart, scenes
from experiments.sweep_results import SEEING

PATCHES = 64  # of a picture of 64 pixels


def get_config(phase: str = "tune") -> ml_collections.ConfigDict:
    """The config of a phase: "generative" or "masked" pre-training, or "tune"."""
    c = quickstart.get_config("tune")
    c.init_from, c.model.size = "", "tiny"
    c.data.vision_share = -1.0
    c.data.groups, c.data.queries = 4, 6
    if phase == "tune":
        c.data.mixture = scenes.tuning()
        del c.data.mixture["two_pictures"]
        c.data.mixture.pictures.source.records = 0
        c.data.mixture.pictures.tasks = dict.fromkeys(SEEING, 1.0)
        c.optimizer.decay_share = 0.3
        return c
    # Each picture is asked one thing, so that both kinds see as many pictures in as many steps.
    c.data.groups, c.data.queries = 8, 1
    c.optimizer.decay_share = 0.0
    c.data.mixture = scenes.pretraining()
    if phase == "masked":
        c.data.mixture.pictures.source = dict(
            name="experiments.pretraining_helps.masked:MaskedScenes", size=64
        )
        c.data.mixture.pictures.tasks = dict(image_editing=1.0)
        c.time.noise_share = 1.0
        c.objective.drop_text = c.objective.drop_references = 0.0
    elif phase != "generative":
        raise ValueError(f"phase is {phase!r}; write generative, masked or tune")
    return c


def patches_of_a_step(c: ml_collections.ConfigDict) -> float:
    """Patches that a step passes through the blocks: references, and what is kept of targets."""
    targets = c.data.groups * c.data.queries * c.objective.kept_share
    return PATCHES * (c.data.groups + targets)
