import types

import jax
import numpy as np

from configs import scenes
from vision_banana.data import pictures
from vision_banana.data import scenes as data_scenes
from vision_banana.evaluation import panels, predict
from vision_banana.models.generator import Generator
from vision_banana.tasks import TASKS
from vision_banana.training import sharding


class Writer:
    """Keeps the pictures' shapes."""

    def __init__(self):
        self.shapes = {}

    def picture(self, step, name, rgb):
        assert step == 7 and rgb.dtype == np.uint8
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
    columns = {name: 3 for name in panels.scenes.TASKS} | {
        "image_generation": 2
    }  # no reference to show
    assert writer.shapes == {name: (64, 32 * n, 3) for name, n in columns.items()}


def test_a_row_is_input_target_and_what_was_drawn(monkeypatch):
    """Targets and answers of one colour each, another one where the text guides the answer."""
    red, green, blue = np.eye(3, dtype=np.float32)
    size, shown = 32, {}
    monkeypatch.setattr(panels, "RECORDS", 2)
    for name in ("depth", "image_generation", "image_editing"):
        draw = lambda example, prompt, rng: (np.broadcast_to(red, (size, size, 3)), None)  # noqa: E731
        monkeypatch.setitem(TASKS, name, TASKS[name]._replace(draw=draw))

    def build(model, **sampling):
        def predict_(params, key, batch):
            colour = green if sampling.get("text_guidance", 1) == 1 else blue
            return np.broadcast_to(colour, (*batch["tokens"].shape[:2], size, size, 3))

        return predict_

    monkeypatch.setattr(predict, "build", build)
    mixture = {"own": {"tasks": dict.fromkeys(("depth", "image_generation", "image_editing"), 1)}}
    config = {"seed": 0, "data": {"size": size, "mixture": mixture}, "time": {"shift": 1.0}}
    model = Generator(size="nano", dtype="float32", text_length=64)
    writer = types.SimpleNamespace(picture=lambda step, name, rgb: shown.update({name: rgb}))
    panels.write(writer, 7, types.SimpleNamespace(model=model, mesh=None), None, config)
    heldout = data_scenes.Scenes("heldout", size)
    for name, answer in (("depth", green), ("image_editing", blue), ("image_generation", blue)):
        target, drawn = (np.broadcast_to(colour, (size, size, 3)) for colour in (red, answer))
        rows = [[*heldout.example(i, name).references, target, drawn] for i in range(2)]
        expected = np.concatenate([np.concatenate(row, axis=1) for row in rows])
        np.testing.assert_array_equal(shown[name], pictures.to_u8(expected), err_msg=name)


def test_a_task_that_scenes_lack_is_left_out(monkeypatch):
    monkeypatch.setitem(TASKS, "silhouette", TASKS["depth"]._replace(name="silhouette"))
    monkeypatch.setattr(panels, "RECORDS", 1)

    def build(model, **sampling):
        def predict_(params, key, batch):
            g, q, h, w = (*batch["tokens"].shape[:2], *batch["references"].shape[2:4])
            return np.zeros((g, q, h, w, 3), np.float32)

        return predict_

    monkeypatch.setattr(predict, "build", build)
    mixture = {"own": {"tasks": {"silhouette": 1.0, "depth": 1.0}}}
    config = {"seed": 0, "data": {"size": 32, "mixture": mixture}, "time": {"shift": 1.0}}
    model = Generator(size="nano", dtype="float32", text_length=64)
    writer = Writer()
    panels.write(writer, 7, types.SimpleNamespace(model=model, mesh=None), None, config)
    assert writer.shapes == {"depth": (32, 96, 3)}


def test_held_out_scores_are_those_of_each_weights_answers(monkeypatch):
    """A stand-in that paints one colour, whatever is asked."""
    model = Generator(size="nano", dtype="float32", text_length=64)

    def build(model, **sampling):
        def predict_(params, key, batch):
            g, q, h, w = (*batch["tokens"].shape[:2], *batch["references"].shape[2:4])
            return np.full((g, q, h, w, 3), params, np.float32)

        return predict_

    monkeypatch.setattr(predict, "build", build)
    monkeypatch.setattr(panels, "SCORED", 2)
    config = {"seed": 0, "data": {"size": 32, "mixture": scenes.tuning().to_dict()}}
    run = types.SimpleNamespace(model=model, mesh=None)
    found = panels.heldout_scores(run, {"raw": 0.0, "ema": np.float32([0, 0, 1])}, config)
    seeing = ("depth", "surface_normals", "semantic_segmentation", "instance_segmentation",
              "referring_segmentation")  # fmt: skip
    assert {name.split("/")[0] for name in found} <= {f"heldout_{name}" for name in seeing}
    assert found["heldout_instance_segmentation/F1/raw"] == 0
    # Black is at the camera, but for a prompt in another colour map.
    assert 0.9 < found["heldout_depth/AbsRel/raw"] <= 1
    assert not 0.9 < found["heldout_depth/AbsRel/ema"] <= 1
