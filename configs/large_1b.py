"""The 1B size at 512 px on 256 TPU chips, pre-trained and then tuned.

    python -m vision_banana.compile --config configs/large_1b.py:pretrain --topology v5e:16x16
    python -m vision_banana.train --config configs/large_1b.py:pretrain \
        --workdir gs://BUCKET/1b/pretrain
    python -m vision_banana.train --config configs/large_1b.py:tune --workdir gs://BUCKET/1b/tune \
        --config.init_from=gs://BUCKET/1b/pretrain

BUCKET is yours, where all hosts find the run. The first command needs no TPU; it prints memory,
traffic and the least time of a step, and what the schedule costs: pre-training about 1,900
chip-hours of v5e ($2,200) or 780 of v5p ($3,300), tuning 250 of v5e ($290), at 70 % of the
roofline's speed and the list prices in `vision_banana/pods/chips.py`. On 16 chips add
`--config.mesh.fsdp=4 --config.data.groups=16`, which doubles the bound on their use. Nothing has
been trained with this config, so no scores are known. Captions from the web lie at
`--config.data.mixture.web.source.data_dir`; `configs/large.py` names the other sets, and what has
to be listed before those made of COCO can be trained on.
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
        c.init_from = "gs://BUCKET/1b/pretrain"
    return c
