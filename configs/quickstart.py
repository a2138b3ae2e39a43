"""The whole path in about a quarter of an hour on two CPU cores.

    make quickstart

runs the phases `configs/quickstart.py:pretrain` and `:tune`, both on a share of the target's
patches, which lets more questions into a step, with numbers of steps that a short probe picks for
the machine, then scores and reports. The README shows what to expect.
"""

import ml_collections

from configs import base, scenes


def get_config(phase: str = "tune") -> ml_collections.ConfigDict:
    """The config of a phase, "pretrain" or "tune"."""
    c = base.get_config()
    c.model.size = "tiny"
    c.model.text_length = 64
    c.optimizer.warmup = 50
    c.optimizer.learning_rate = 1e-3
    c.optimizer.muon_rate = 0.02
    c.objective.ema_decay = 0.995
    c.objective.drop_text, c.objective.drop_references = 0.03, 0.02
    c.objective.kept_share = 0.25
    c.time = dict(mean=-1.0, std=1.0, shift=1.0, noise_share=0.95)
    c.data.groups, c.data.queries = 6, 8
    c.log_every = 10
    c.checkpoint_every = 500
    c.keep = 1
    if phase == "pretrain":
        c.steps = 250
        c.optimizer.decay_share = 0.0
        c.data.mixture = scenes.pretraining()
    elif phase == "tune":
        c.steps = 1500
        c.optimizer.decay_share = 0.35
        c.init_from = "runs/quickstart/pretrain"
        c.data.mixture = scenes.tuning()
        c.data.mixture.pictures.source.named = 0.9  # words are learnt by names first
        c.data.mixture.pictures.tasks.update(
            depth=1.0,
            surface_normals=0.8,
            semantic_segmentation=3.0,
            referring_segmentation=4.0,
        )
        del c.data.mixture["two_pictures"]  # a shape of its own, compiled in a hundred steps' time
        c.data.vision_share = 0.9
    else:
        raise ValueError(f"phase is {phase!r}; write quickstart.py:pretrain or :tune")
    return c
