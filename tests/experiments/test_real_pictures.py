"""The study of real pictures: table and page, and two models that it cannot compare."""

import types

import numpy as np
import pytest
from exit_codes import exit_code

from experiments.real_pictures import run
from vision_banana.evaluation import benchmarks, report_pictures, resize, score
from vision_banana.tasks import depth
from vision_banana.tasks.task import Example
from vision_banana.training import pretrained


def line(name, metric, value, **fields):
    row = {"benchmark": "photos", "task": "depth", "metric": metric, "run": name, "value": value}
    row |= {"perfect": 0.0, "low": None, "high": None, "blind": 0.5, "truth": 0.25, "count": 12}
    return row | fields


def test_the_table_by_hand():
    lines = [
        line("before", "AbsRel", 0.4, low=0.3, high=0.5),
        line("before", "delta1", 0.5, perfect=1.0),
        line("before", "RMSE", 2.0, perfect=None),
        line("after", "AbsRel", 0.2, low=0.125, high=0.25),
        line("after", "delta1", 0.75, perfect=1.0, blind=None, truth=None),
        line("after", "RMSE", 1.0, perfect=None),
    ]
    header, body = run.table(lines)
    assert header == [
        "benchmark", "task", "metric", "count", "blind", "before", "after", "at most",
    ]  # fmt: skip
    assert body == [
        ["photos", "depth", "AbsRel ↓", "12", "0.500", "0.400 (0.300 to 0.500)",
         "0.200 (0.125 to 0.250)", "0.250"],
        ["photos", "depth", "delta1 ↑", "12", "-", "0.500", "0.750", "-"],
    ]  # fmt: skip


def test_models_of_another_size_are_one_sentence(monkeypatch, tmp_path, capsys):
    sizes = {"pocket": 64, "other": 128}

    def load(name, language):
        model = types.SimpleNamespace(text_length=8)
        return types.SimpleNamespace(model=model, config={"data": {"size": sizes[name]}})

    monkeypatch.setattr(pretrained, "load", load)
    monkeypatch.setattr(run, "evaluated", lambda *_: pytest.fail("scored"))
    assert exit_code(run.main, ["--after=other", f"--output={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert "--before and --after work at another size" in error and error.count("\n") == 1


class Wide:
    """A picture twice as wide as high, 2 m away everywhere."""

    name, tasks = "wide", ("depth",)

    def __len__(self):
        return 1

    def example(self, index, task):
        picture = np.random.default_rng(0).random((12, 24, 3), np.float32)
        label, valid = np.full((12, 24), 2.0, np.float32), np.ones((12, 24), bool)
        return Example(task, "wide/0", (picture,), label, valid, {"colormap": "cube"})


def test_a_pages_row_shows_input_truth_both_answers_and_the_error(monkeypatch):
    row = next(row for row in run.ROWS if row.tasks == ("depth",))
    model = types.SimpleNamespace(text_length=64)
    models = [
        types.SimpleNamespace(model=model, config={"data": {"size": 16}}, metres=metres)
        for metres in (4.0, 2.0)
    ]
    shown = []
    monkeypatch.setattr(benchmarks, "open_source", lambda *_: Wide())
    monkeypatch.setattr(score, "asker_of", lambda model, steps: model)
    monkeypatch.setattr(
        score, "draw",
        lambda model, *_: {"depth": [depth.encode(np.full((16, 16), model.metres))]},
    )  # fmt: skip
    monkeypatch.setattr(
        report_pictures, "figure", lambda picture, *words: shown.append((words[0], picture)) or ""
    )
    run.pictures(models, row)
    assert [caption for caption, _ in shown] == ["input", "truth", "before", "after", "error after"]
    assert {picture.shape for _, picture in shown} == {(80, 160, 3)}
    by = dict(shown)
    whole = Wide().example(0, "depth").references[0]  # not as small as the generator sees it
    np.testing.assert_array_equal(by["input"], resize.smooth(whole, (80, 160)))
    np.testing.assert_allclose(by["truth"], by["after"], atol=0.02)
    assert np.abs(by["truth"] - by["before"]).max() > 0.1
