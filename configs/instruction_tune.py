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


def get_config(phase: str = "tune") -> ml_collections.ConfigDict:
    """The config of a phase, "tune" or "finish"."""
    c = base.get_config()
    c.model.size = "pocket"
    c.optimizer.muon_rate = 0.02
    c.optimizer.warmup = 100
    c.objective.drop_text, c.objective.drop_references = 0.05, 0.02
    c.time = dict(mean=-1.0, std=1.0, shift=1.0, noise_share=0.9)
    c.data.mixture = scenes.tuning()
    c.data.vision_share = 0.8
    c.panels_every = 2000
    if phase == "tune":
        c.steps = 40_000
        c.init_from = "runs/pretrain"
        c.optimizer.decay_share = 0.0
        c.objective.kept_share = 0.25
        c.data.groups, c.data.queries = 8, 6
    elif phase == "finish":
        c.steps = 4000
        c.init_from = "runs/instruction_tune"
        c.optimizer.decay_share = 1.0
        c.data.groups, c.data.queries = 4, 6
    else:
        raise ValueError(f"phase is {phase!r}; write instruction_tune.py:tune or :finish")
    return c
