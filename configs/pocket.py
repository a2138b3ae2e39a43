"""The pocket model in one run: every task and generation from random weights.

    python -m vision_banana.train --config configs/pocket.py --workdir runs/pocket

It has not been run to its end yet, so no hours are known; every checkpoint can be scored
(`python -m vision_banana.evaluate --workdir runs/pocket`). `configs/pretrain.py` and
`configs/instruction_tune.py` are the same in five phases.
"""

import ml_collections

from configs import instruction_tune


def get_config() -> ml_collections.ConfigDict:
    """The config."""
    c = instruction_tune.get_config()
    c.init_from = ""
    c.steps = 50_000
    c.data.vision_share = 0.75
    return c
