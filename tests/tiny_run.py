"""A run whose generator is one small matrix, so that it compiles at once."""

import types

import jax
import numpy as np

from configs import quickstart
from vision_banana import train
from vision_banana.models.precision import FLOAT32
from vision_banana.training import run as run_lib
from vision_banana.training import train_state
from vision_banana.training.checkpoint import Checkpoints


class TinyGenerator:
    """Mixes the colours of the noisy picture."""

    def __init__(self, **fields):
        fields.pop("processor")
        self.__dict__.update(fields)
        self.dims = types.SimpleNamespace(patch=8)
        self.precision = FLOAT32

    def init(self, key):
        return {"ends": {"out": jax.random.normal(key, (3, 3)), "shift": jax.numpy.zeros(3)}}

    def apply(self, params, z, t, tokens, references, mask, kept=None, size=None):
        return z @ params["ends"]["out"] + params["ends"]["shift"]


def config(**changes):
    c = quickstart.get_config("tune").to_dict()
    c["data"] |= {"groups": 2, "queries": 2, "size": 8, "vision_share": -1.0}
    pictures = c["data"]["mixture"].pop("pictures")
    pictures |= {"tasks": {"depth": 1.0, "image_generation": 1.0}}
    pictures["source"] = {"name": "scenes", "split": "train", "size": 8}
    c["data"]["mixture"] = {"pictures": pictures}
    c["mesh"] = {"replica": 1, "fsdp": 1, "tensor": 1}
    c |= {"init_from": "", "steps": 6, "log_every": 1, "checkpoint_every": 4, "keep": 9}
    return c | {"log_records": True} | changes


def install(monkeypatch, count=1):
    """Puts the tiny generator in the place of the real one, on so many devices."""
    monkeypatch.setattr(run_lib, "Generator", TinyGenerator)
    devices = jax.devices()[:count]
    make_mesh = run_lib.sharding.make_mesh
    monkeypatch.setattr(
        run_lib.sharding, "make_mesh", lambda shape, _=None: make_mesh(shape, devices)
    )


def run(workdir, c):
    train.train(c, str(workdir))


def final(workdir, c):
    """The newest state, as NumPy arrays."""
    parts = run_lib.build(c)
    abstract = train_state.abstract_state(parts.model, parts.optimizer, parts.mesh)
    restored = Checkpoints(str(workdir), read_only=True).restore(abstract)
    return jax.tree.map(np.asarray, restored)
