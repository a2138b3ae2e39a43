"""Instruction tuning: the weights of a pre-training run learn to answer with pictures.

    python -m vision_banana.train --config configs/instruction_tune.py:names \
        --config.init_from runs/pretrain --workdir runs/instruction_tune/names

Three phases, each from the last one's weights: `names` asks mostly for regions by names alone ("the
red cube"), from which words and pixels find together; `tune` asks for everything; `finish` lets the
rate fall on whole pictures. They have not been run to their ends yet, so no hours are known; the
packaged checkpoint had 2,700 steps of `names` (see its card).
`config.data.vision_share` is the share of
queries that ask to see; the published method mixes a small share into its generative data, a model
of this size needs a large one.
"""

import ml_collections

from configs import base, scenes


def get_config(phase: str = "tune") -> ml_collections.ConfigDict:
    """The config of a phase, "names", "tune" or "finish"."""
    c = base.get_config()
    c.model.size = "pocket"
    c.optimizer.muon_rate = 0.02
    c.optimizer.warmup = 100
    c.objective.drop_text, c.objective.drop_references = 0.05, 0.02
    c.time = dict(mean=-1.0, std=1.0, shift=1.0, noise_share=0.9)
    c.data.mixture = scenes.tuning()
    c.data.vision_share = 0.8
    c.panels_every = 2000
    if phase in ("names", "tune"):
        c.steps = 40_000
        c.init_from = "runs/instruction_tune/names"
        c.optimizer.decay_share = 0.0
        c.objective.kept_share = 0.25
        c.data.groups, c.data.queries = 8, 6
        if phase == "names":
            c.steps = 5000
            c.init_from = "runs/pretrain"
            c.data.mixture.pictures.source.named = 0.9
            c.data.mixture.pictures.tasks.update(
                referring_segmentation=5.0,
                semantic_segmentation=3.0,
                depth=0.6,
                surface_normals=0.6,
                instance_segmentation=0.7,
            )
    elif phase == "finish":
        c.steps = 4000
        c.init_from = "runs/instruction_tune/tune"
        c.optimizer.decay_share = 1.0
        c.data.groups, c.data.queries = 4, 6
    else:
        raise ValueError(f"phase is {phase!r}; write instruction_tune.py:names, :tune or :finish")
    return c
