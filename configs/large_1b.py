"""The 1B size at 512 px on 256 TPU chips.

PLACEHOLDER
"""

import ml_collections

from configs import large


def get_config(phase: str = "pretrain") -> ml_collections.ConfigDict:
    """The config of a phase, "pretrain" or "tune"."""
    c = large.phase(phase, "configs/large_1b.py", groups=256, queries=12, tuning_queries=12)
    c.model.size = "1B"
    c.model.remat = "dots"
    c.mesh = dict(replica=-1, fsdp=16, tensor=1)
    if phase == "tune":
        c.init_from = "runs/1b/pretrain"
    return c
