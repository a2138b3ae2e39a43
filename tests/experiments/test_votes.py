"""The votes study reads its own records alone, writes below its own folder alone, and its table."""

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


def test_the_table_by_hand():
    """Calibration changes what a confidence is worth, so that its score is not told twice."""
    perfect = {"mIoU": 1.0, "ECE": None, "AURC": None}
    lines = [
        {"task": "depth", "metric": metric, "votes": votes, "calibrated": calibrated,
         "perfect": perfect[metric], "value": value, "low": low, "high": high, "blind": blind}
        for votes, calibrated, metric, value, low, high, blind in (
            (16, False, "mIoU", 0.75, 0.7, 0.8, 0.125),
            (16, False, "ECE", 0.25, None, None, None),
            (16, False, "AURC", 0.5, None, None, None),
            (16, True, "mIoU", 0.9, 0.8, 1.0, 0.2),
            (16, True, "ECE", 0.0625, None, None, None),
            (4, False, "mIoU", 0.5, None, None, None),
            (4, False, "ECE", 0.375, None, None, None),
            (4, False, "AURC", None, None, None, None),
            (4, True, "ECE", 0.125, None, None, None),
        )
    ]  # fmt: skip
    header, _, *rows = run.table(lines).splitlines()
    told = [[cell.strip() for cell in row.strip("|").split("|")] for row in (header, *rows)]
    assert told == [
        ["task", "metric", "votes", "score", "95 % interval", "blind", "ECE", "ECE calibrated",
         "AURC"],
        ["depth", "mIoU", "4", "0.500", "-", "-", "0.375", "0.125", "-"],
        ["depth", "mIoU", "16", "0.750", "0.700 to 0.800", "0.125", "0.250", "0.062", "0.500"],
    ]  # fmt: skip
