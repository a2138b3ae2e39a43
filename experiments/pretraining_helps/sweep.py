"""Four starts, three numbers of labelled pictures, three seeds; equal compute for three of them."""

import pathlib

from experiments import points
from experiments.pretraining_helps import config
from experiments.sweep_results import SEEING

FOLDER = pathlib.Path(__file__).parent
CONFIG = "experiments/pretraining_helps/config.py"
SEEDS = (0, 1, 2)
# The last has as many tuning steps as those that were pre-trained, and so less compute.
STARTS = ("generative", "masked", "random", "random_short")
PICTURES = (64, 1024, 16384)
PRETRAIN, TUNE = 500, 500  # steps
RECORDS = "data.mixture.pictures.source.records"
SCORE = f"--tasks {','.join(SEEING)} --steps 1 --count 256"


def steps_of(start: str) -> int:
    """Tuning steps of a start: "random" gets those that others spent on pre-training as well."""
    before, after = (config.patches_of_a_step(config.get_config(p)) for p in ("masked", "tune"))
    return TUNE + (round(PRETRAIN * before / after) if start == "random" else 0)


def start_of(point: points.Point) -> str:
    """Which start a point of the tuning stage has."""
    random = "random_short" if point["steps"] == TUNE else "random"
    return pathlib.Path(point["init_from"]).parent.name or random


def stages(folder: str) -> list[points.Stage]:
    """Pre-training of both kinds, then tuning from each."""
    seeds = points.values("seed", SEEDS)
    pretrained = [
        points.Stage(kind, f"{CONFIG}:{kind}", points.product(seeds, [{"steps": PRETRAIN}]))
        for kind in STARTS[:2]
    ]
    tuned = []
    for start in STARTS:
        weights = [
            "" if start.startswith("random") else f"{folder}/{start}/{number}"
            for number in range(len(SEEDS))
        ]
        one = points.zipped(seeds, points.values("init_from", weights))
        steps = [{"steps": steps_of(start)}]
        tuned += points.product(points.values(RECORDS, PICTURES), one, steps)
    return [*pretrained, points.Stage("tune", f"{CONFIG}:tune", tuned, [SCORE])]
