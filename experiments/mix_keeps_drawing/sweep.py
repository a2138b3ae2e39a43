"""One pre-training and six shares of seeing in the tuning mix, for three seeds."""

import pathlib

from experiments import points
from experiments.sweep_results import DRAWING, SEEING

FOLDER = pathlib.Path(__file__).parent
CONFIG = "experiments/mix_keeps_drawing/config.py"
SEEDS = (0, 1, 2)
SHARES = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95)
PRETRAIN, TUNE = 4000, 4000  # steps
SHARE = "data.vision_share"
DRAW = f"--tasks {','.join(DRAWING)} --steps 20 --count 256"
SEE = f"--tasks {','.join(SEEING)} --steps 1 --count 256"


def stages(folder: str) -> list[points.Stage]:
    """Pre-training, whose drawing is scored too, then tuning."""
    seeds = points.values("seed", SEEDS)
    start = points.values("init_from", [f"{folder}/pretrain/{i}" for i in range(len(SEEDS))])
    tuned = points.product(
        points.values(SHARE, SHARES), points.zipped(seeds, start), [{"steps": TUNE}]
    )
    drawn = points.product(seeds, [{"steps": PRETRAIN}])
    return [
        points.Stage("pretrain", f"{CONFIG}:pretrain", drawn, [DRAW]),
        points.Stage("tune", f"{CONFIG}:tune", tuned, [SEE, DRAW]),
    ]
