"""Generative pre-training of the pocket model on the embedded scenes.

    python -m vision_banana.train --config configs/pretrain.py --workdir runs/pretrain

It has not been run to its end: the packaged checkpoint had 500 of these steps, in 0.2 hours on two
CPU cores with AMX, and was not scored after them. The next phase is `configs/instruction_tune.py`.
"""

import ml_collections

from configs import base, scenes


def get_config() -> ml_collections.ConfigDict:
    """The config."""
    c = base.get_config()
    c.model.size = "pocket"
    c.steps = 4000
    c.optimizer.muon_rate = 0.02
    c.optimizer.warmup = 100
    c.optimizer.decay_share = 0.0
    c.objective.kept_share = 0.5
    c.time = dict(mean=-1.0, std=1.0, shift=1.0, noise_share=0.7)
    c.data.groups, c.data.queries = 6, 8
    c.data.mixture = scenes.pretraining()
    c.panels_every = 1000
    return c
