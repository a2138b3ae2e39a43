"""The whole path in about a quarter of an hour on two CPU cores.

    make quickstart

runs both phases, `configs/quickstart.py:pretrain` and `configs/quickstart.py:tune`, with a number
of steps that a short probe picks for the machine, then scores and reports. The README shows what
to expect.
"""

import ml_collections

from configs import base, scenes


def get_config(phase: str = "tune") -> ml_collections.ConfigDict:
    """The config of a phase, "pretrain" or "tune"."""
    c = base.get_config()
    c.model.size = "tiny"
    c.model.text_length = 64
    c.optimizer.warmup = 50
    c.optimizer.learning_rate = 1.5e-3
    c.objective.ema_decay = 0.995
    c.objective.drop_text = 0.05
    c.time = dict(mean=-1.0, std=1.0, shift=1.0, noise_share=0.85)
    c.data.groups, c.data.queries = 12, 3
    c.log_every = 10
    c.checkpoint_every = 500
    c.keep = 1
    if phase == "pretrain":
        c.steps = 400
        c.data.mixture = scenes.pretraining()
    elif phase == "tune":
        c.steps = 1500
        c.init_from = "runs/quickstart/pretrain"
        c.data.mixture = scenes.tuning()
        c.data.vision_share = 0.85
    else:
        raise ValueError(f"phase is {phase!r}; write quickstart.py:pretrain or quickstart.py:tune")
    return c
