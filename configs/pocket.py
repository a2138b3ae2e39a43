"""The pocket model in one run: every task and generation from random weights.

    python -m vision_banana.train --config configs/pocket.py --workdir runs/my_pocket

It has not been run to its end, so no scores are known. At the pace of the packaged checkpoint's
phases (4,000 steps in 0.8 hours on two CPU cores with AMX) it would take ten hours; every
checkpoint can be scored (`python -m vision_banana.evaluate --workdir runs/my_pocket`). A quarter of
each target's patches is computed, at a rate that falls over the second half, which teaches seeing;
drawings need whole pictures after it (`configs/instruction_tune.py:whole
--config.init_from=runs/my_pocket`). The packaged checkpoint was made otherwise, in more phases: its
card tells.
"""

import ml_collections

from configs import instruction_tune


def get_config() -> ml_collections.ConfigDict:
    """The config."""
    c = instruction_tune.get_config()
    c.init_from = ""
    c.steps = 50_000
    c.optimizer.decay_share = 0.5
    c.data.vision_share = 0.75
    return c
