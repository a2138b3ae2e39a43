"""Four shares of seeing in the tuning mix of a generator that draws, for three seeds."""

import pathlib

from experiments import points
from experiments.sweep_results import DRAWING, SEEING

FOLDER = pathlib.Path(__file__).parent
CONFIG = "experiments/mix_keeps_drawing/config.py"
SEEDS = (0, 1, 2)
SHARES = (0.1, 0.5, 0.9, 0.99)
STEPS = 250
SHARE = "data.vision_share"
DRAW = f"--tasks {','.join(DRAWING)} --steps 20 --count 64"
SEE = f"--tasks {','.join(SEEING)} --steps 1 --count 64"


def stages(folder: str) -> list[points.Stage]:
    """The start as it is, then tuned with each share; seed by seed, so that a part tells much."""
    del folder  # all begin with the packaged weights
    # The first step of a schedule has the rate 0: it leaves the weights as they are.
    start = points.values("steps", [1])
    tuned = points.product(
        points.values("seed", SEEDS), points.values(SHARE, SHARES), [{"steps": STEPS}]
    )
    return [
        points.Stage("start", CONFIG, start, [SEE, DRAW]),
        points.Stage("tune", CONFIG, tuned, [SEE, DRAW]),
    ]
