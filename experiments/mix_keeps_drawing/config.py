"""The phases of the study; `experiments/mix_keeps_drawing/sweep.py` runs them."""

import ml_collections

from configs import quickstart


def get_config(phase: str = "tune") -> ml_collections.ConfigDict:
    """The config of a phase, "pretrain" or "tune"."""
    c = quickstart.get_config(phase)
    if phase == "tune":
        c.optimizer.decay_share = 0.3
    return c
