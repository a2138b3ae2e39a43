"""Instruction tuning: the weights of a pre-training run learn to answer with pictures.

    python -m vision_banana.train --config configs/instruction_tune.py:names \
        --config.init_from runs/pretrain --workdir runs/instruction_tune/names

Four phases, each from the last one's weights: `names` asks mostly for regions by names alone ("the
red cube"), from which words and pixels find together; `tune` asks for everything; `finish` lets the
rate fall, which gains more than the steps before it; `whole` computes all of a picture's patches,
without which drawings fall apart. The defaults are longer than anything that was run. The packaged
checkpoint had 2,700, 4,000, 4,000 and 600 steps of earlier forms of these phases, which asked for
classes and regions more often, after 6,600 of another, then 5,400 and 900 of `finish` and `whole`:
6.5 hours in all on two CPU cores, for a depth delta1 of 0.91 and an mIoU of 0.80 on held-out scenes
in one step (its card tells all hours and scores, its config.json the last one's values). At that
pace the defaults would take twelve hours.
`config.data.vision_share` is the share of queries that ask to see; the published method mixes a
small share into its generative data, a model of this size needs a large one.
"""

import ml_collections

from configs import base, scenes


def get_config(phase: str = "tune") -> ml_collections.ConfigDict:
    """The config of a phase, "names", "tune", "finish" or "whole"."""
    c = base.get_config()
    c.model.size = "pocket"
    c.optimizer.muon_rate = 0.02
    c.optimizer.warmup = 100
    c.objective.drop_text, c.objective.drop_references = 0.05, 0.02
    c.time = dict(mean=-1.0, std=1.0, shift=1.0, noise_share=0.9)
    c.data.mixture = scenes.tuning()
    c.data.vision_share = 0.7
    c.data.groups, c.data.queries = 8, 6
    c.objective.kept_share = 0.25
    c.panels_every = 2000
    if phase == "names":
        c.steps = 5000
        c.init_from = "runs/pretrain"
        c.optimizer.decay_share = 0.0
        c.data.vision_share = 0.8
        c.data.mixture.pictures.source.named = 0.9
        c.data.mixture.pictures.tasks.update(
            referring_segmentation=5.0,
            semantic_segmentation=3.0,
            depth=0.6,
            surface_normals=0.6,
            instance_segmentation=0.7,
        )
    elif phase == "tune":
        c.steps = 40_000
        c.init_from = "runs/instruction_tune/names"
        c.optimizer.decay_share = 0.0
    elif phase == "finish":
        c.steps = 10_000
        c.init_from = "runs/instruction_tune/tune"
        c.optimizer.decay_share = 1.0
    elif phase == "whole":
        c.steps = 2000
        c.init_from = "runs/instruction_tune/finish"
        c.optimizer.decay_share = 1.0
        c.optimizer.learning_rate /= 2
        c.optimizer.muon_rate /= 2
        c.objective.kept_share = 1.0
        c.data.groups = 4
        c.data.vision_share = 0.5
    else:
        raise ValueError(
            f"phase is {phase!r}; write instruction_tune.py:names, :tune, :finish or :whole"
        )
    return c
