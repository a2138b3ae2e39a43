"""The smallest run that has every part: a few seconds of training on one CPU core.

python -m experiments.restarts --kills 5 --folder runs/restarts
"""

import ml_collections

from configs import base, scenes


def get_config() -> ml_collections.ConfigDict:
    c = base.get_config()
    c.model.size = "nano"
    c.model.text_length = 32
    c.data.groups, c.data.queries, c.data.size = 4, 2, 16
    c.data.mixture = scenes.tuning()
    del c.data.mixture["two_pictures"]  # a second shape, which would have to be compiled
    c.data.mixture.pictures.source.size = 16
    c.data.mixture.pictures.tasks = dict(depth=1.0, image_generation=1.0)
    c.optimizer.warmup = 5
    c.log_every = 5
    c.checkpoint_every = 10
    c.log_records = True
    return c
