"""The whole path in about a quarter of an hour on two CPU cores.

    make quickstart

runs the phases `configs/quickstart.py:pretrain`, `:words` and `:tune`, all on a share of the
target's patches, which lets more questions into a step, with numbers of steps that a short probe
picks for the machine, then scores and reports. The first two see pictures of 32 pixels, of which a
step takes 0.6 of the time. `words` asks mostly for regions by names ("the red cube"), from which
words and pixels find together sooner. A run of 15.4 minutes on two cores without bfloat16 products
made 131, 801 and 975 steps, for a depth delta1 of 0.73 and an mIoU of 0.35 on held-out scenes in
one step; the README has the other scores.
"""

import ml_collections

from configs import base, scenes


def get_config(phase: str = "tune") -> ml_collections.ConfigDict:
    """The config of a phase, "pretrain", "words" or "tune"."""
    c = base.get_config()
    c.model.size = "mini"
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
        return _small(c)
    if phase not in ("words", "tune"):
        raise ValueError(f"phase is {phase!r}; write quickstart.py:pretrain, :words or :tune")
    c.data.mixture = scenes.tuning()
    del c.data.mixture["two_pictures"]  # a shape of its own, compiled in a hundred steps' time
    c.data.vision_share = 0.9
    c.data.mixture.pictures.source.named = 0.9
    if phase == "words":
        c.steps = 600
        c.init_from = "runs/quickstart/pretrain"
        c.optimizer.decay_share = 0.0
        _small(c)
        regions = 10.0
    else:
        c.steps = 1000
        c.init_from = "runs/quickstart/words"
        c.optimizer.decay_share = 0.4
        regions = 4.0
    c.data.mixture.pictures.tasks.update(
        depth=1.0,
        surface_normals=0.8,
        semantic_segmentation=3.0,
        referring_segmentation=regions,
    )
    return c


def _small(c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The config with pictures of half the size, of which a step takes 0.6 of the time."""
    c.data.size = c.data.mixture.pictures.source.size = 32
    return c
