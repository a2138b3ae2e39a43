"""The 8B size at 512 px on 256 TPU chips; `configs/large_1b.py` tells how to use it.

python -m vision_banana.compile --config configs/large_8b.py:pretrain --topology v5p:4x8x8

Pre-training costs about 13,500 chip-hours of v5e ($16,200) or 5,800 of v5p ($24,300), as reckoned
there; what tuning costs has not been worked out.
"""

import ml_collections

from configs import large


def get_config(phase: str = "pretrain") -> ml_collections.ConfigDict:
    """The config of a phase, "pretrain" or "tune"."""
    c = large.phase(phase, "configs/large_8b.py", groups=256, queries=8, tuning_queries=8)
    c.model.size = "8B"
    c.model.remat = "full"
    c.mesh = dict(replica=-1, fsdp=32, tensor=1)
    if phase == "tune":
        c.init_from = "gs://BUCKET/8b/pretrain"
    return c
