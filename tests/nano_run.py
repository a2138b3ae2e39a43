"""A nano generator with random weights, as a training run or as an exported folder."""

import jax
import numpy as np

from vision_banana.data import language
from vision_banana.models.generator import Generator
from vision_banana.training import pretrained
from vision_banana.training.trained import Trained

SIZE = 16
MODEL = {"size": "nano", "attention": "prefix", "text_length": 64, "dtype": "float32"}
CONFIG = {
    "model": MODEL,
    "steps": 9,
    "init_from": "",
    "time": {"shift": 1.0},
    "data": {
        "size": SIZE,
        "groups": 2,
        "queries": 3,
        "mixture": {
            "pictures": {"source": {"name": "scenes"}, "tasks": {"depth": 1.0}, "weight": 1.0}
        },
    },
}
DESCRIPTION = {
    "config": CONFIG,
    "language": language.describe(),
    "revision": "abc",
    "device": "cpu",
    "device_count": 2,
}


def random_params(seed=0):
    """Weights that answer differently everywhere (a fresh generator answers grey)."""
    shapes = jax.eval_shape(Generator(**MODEL).init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype(np.float32), shapes)


def model():
    return Trained(Generator(**MODEL), random_params(), CONFIG, 7)


def write(folder, description=DESCRIPTION):
    pretrained.write(str(folder), pretrained.pack(model(), description, "# Card\n"))
    return folder
