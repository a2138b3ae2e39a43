"""The votes study reads its own records alone and writes below its own folder alone."""

import jax
import jax.numpy as jnp
import pytest

from experiments.votes import run
from vision_banana.evaluation import blind, totals
from vision_banana.models.generator import Generator
from vision_banana.training.trained import Trained

SIDE = 16


@pytest.fixture
def model(monkeypatch):
    """A generator of 16 pixels whose weights are zero, asked for depth."""
    monkeypatch.setattr(run, "VOTED", ("depth",))
    monkeypatch.setattr(blind, "RECORDS", 4)
    monkeypatch.setattr(totals, "RESAMPLES", 50)
    generator = Generator(size="tiny", dtype="float32", text_length=16)
    shapes = jax.eval_shape(generator.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return Trained(generator, params, {"data": {"size": SIDE}, "time": {"shift": 1.0}}, 5)


def test_records_of_other_settings_are_left_alone(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "out"
    pixels = {}
    for count in (3, 2):
        lines, states = run.score(model, "pocket", output, 1, count, 1)
        pixels[count] = states["depth"].pixels.sum()
        assert {line["calibrated"] for line in lines} == {False, True}
        assert {line["run"] for line in lines} == {"pocket"}
        assert {line["count"] for line in lines} == {count}
    assert len(list((output / "records-1").iterdir())) == 2
    assert pixels[2] < pixels[3] <= 3 * SIDE * SIDE  # sky counts nowhere
    # The calibration too lies there, and nothing in runs/pocket.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert (output / "calibration.json").exists()
