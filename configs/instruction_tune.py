"""Instruction tuning: the weights of a pre-training run learn to answer with pictures.

    python -m vision_banana.train --config configs/instruction_tune.py \
        --config.init_from runs/pretrain --workdir runs/instruction_tune

It has not been run to its end yet, so no hours or scores are known.
`config.data.vision_share` is the share of
queries that ask to see; the published method mixes a small share into its generative data, a model
of this size needs a large one.
"""

import ml_collections

from configs import base, scenes


def get_config() -> ml_collections.ConfigDict:
    """The config."""
    c = base.get_config()
    c.model.size = "pocket"
    c.init_from = "runs/pretrain"
    c.steps = 40_000
    c.optimizer.warmup = 200
    c.time = dict(mean=-1.0, std=1.0, shift=1.0, noise_share=0.7)
    c.data.groups, c.data.queries = 12, 3
    c.data.mixture = scenes.tuning()
    c.data.vision_share = 0.85
    c.panels_every = 2000
    return c
