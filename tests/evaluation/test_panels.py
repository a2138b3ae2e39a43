import types

import jax

from configs import scenes
from vision_banana.evaluation import panels
from vision_banana.models.generator import Generator
from vision_banana.tasks import TASKS
from vision_banana.training import sharding


class Writer:
    """Keeps the pictures' shapes."""

    def __init__(self):
        self.shapes = {}

    def picture(self, step, name, rgb):
        assert step == 7 and rgb.min() >= 0 and rgb.max() <= 1
        self.shapes[name] = rgb.shape


def test_every_task_of_the_mixture_has_a_panel_with_a_row_an_example(monkeypatch):
    monkeypatch.setattr(panels, "DRAWING_STEPS", 1)
    monkeypatch.setattr(panels, "RECORDS", 2)
    model = Generator(size="nano", dtype="float32", text_length=64)
    params = jax.jit(model.init)(jax.random.key(0))
    config = {"seed": 0, "data": {"size": 32, "mixture": scenes.tuning().to_dict()}}
    config["time"] = {"shift": 1.0}
    writer = Writer()
    mesh = sharding.make_mesh({"replica": 1, "fsdp": 2, "tensor": 1}, jax.devices()[:2])
    run = types.SimpleNamespace(model=model, mesh=mesh)
    panels.write(writer, 7, run, params, config)
    columns = {name: 3 for name in TASKS} | {"image_generation": 2}  # no reference to show
    assert writer.shapes == {name: (64, 32 * n, 3) for name, n in columns.items()}
