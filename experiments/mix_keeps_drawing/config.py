"""Tuning of the study; `experiments/mix_keeps_drawing/sweep.py` runs it."""

import ml_collections

from configs import instruction_tune


def get_config() -> ml_collections.ConfigDict:
    """The packaged generator tuned on, all patches of its pictures, at a rate that falls to 0."""
    c = instruction_tune.get_config("whole")
    c.init_from = "pocket"
    c.optimizer.learning_rate *= 2  # the rate of tuning, not of its end
    c.optimizer.muon_rate *= 2
    del c.data.mixture["two_pictures"]  # a shape of its own, which would have to be compiled
    c.panels_every = 0
    return c
