"""Result lines, their file and their table."""

import json

import pytest

from vision_banana.evaluation import results, totals

SCORES = {
    "depth": totals.Score(
        {
            "blind": {"delta1": 0.5, "AbsRel": 0.4, "RMSE": 12.0},
            "truth": {"delta1": 1.0, "AbsRel": 0.0, "RMSE": 0.0},
            1: {"delta1": 0.75, "AbsRel": 0.3, "RMSE": 8.0},
            4: {"delta1": 0.25, "AbsRel": float("inf"), "RMSE": float("nan")},
        },
        3,
        1,
        intervals={1: {"delta1": (0.6, 0.9)}},
        pictures=2,
    )
}
PERFECT = {"depth": {"delta1": 1.0, "AbsRel": 0.0}}


def lines(**origin):
    origin = {"run": "x", "checkpoint_step": 7, "benchmark": "scenes", "seed": 0} | origin
    return results.rows(SCORES, PERFECT, **origin)


def test_a_line_holds_everything_about_one_number():
    assert lines()[0] == {
        "run": "x",
        "checkpoint_step": 7,
        "benchmark": "scenes",
        "task": "depth",
        "metric": "delta1",
        "steps": 1,
        "value": 0.75,
        "low": 0.6,
        "high": 0.9,
        "blind": 0.5,
        "truth": 1.0,
        "perfect": 1.0,
        "skill": 0.5,  # (0.75 - 0.5) / (1 - 0.5)
        "count": 3,
        "pictures": 2,
        "skipped": 1,
        "unasked": 0,
        "seed": 0,
    }


def test_skill_by_hand():
    by_place = {(line["metric"], line["steps"]): line for line in lines()}
    assert len(by_place) == 6
    # Errors: (0.3 - 0.4) / (0 - 0.4); worse than blind is negative.
    assert by_place["AbsRel", 1]["skill"] == pytest.approx(0.25)
    assert by_place["delta1", 4]["skill"] == pytest.approx(-0.5)
    assert by_place["RMSE", 1]["skill"] is None


def test_what_is_not_finite_is_null():
    by_place = {(line["metric"], line["steps"]): line for line in lines()}
    assert by_place["AbsRel", 4]["value"] is None
    assert by_place["AbsRel", 4]["skill"] is None
    assert by_place["RMSE", 4]["value"] is None
    json.dumps(lines(), allow_nan=False)


def test_lines_are_added_and_the_later_of_two_stands(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    results.write(path, lines())
    again = [line | {"value": 0.125} for line in lines()[:1]]
    other = lines(checkpoint_step=8)
    results.write(path, again + other)
    assert len(path.read_text().splitlines()) == 13
    seen = results.read(path)
    assert len(seen) == 12
    values = [r["value"] for r in seen if r["metric"] == "delta1" and r["steps"] == 1]
    assert sorted(values) == [0.125, 0.75]


def test_a_mended_evaluation_replaces_its_first_lines(tmp_path):
    """What was skipped is asked now: 3 of 4 records, then all 4; another number is another part."""
    path = tmp_path / "results.jsonl"
    mended = [line | {"value": 0.875, "count": 4, "skipped": 0} for line in lines()]
    part = [line | {"count": 2, "skipped": 0} for line in lines()]
    for some in (lines(), mended, part):
        results.write(path, some)
    assert results.read(path) == mended + part
    assert results.counts(lines() + part) == "2 records of scenes, 3 records of scenes (1 skipped)"


def test_a_line_that_is_no_result_is_named(tmp_path):
    path = tmp_path / "results.jsonl"
    results.write(path, lines())
    with path.open("a") as file:
        file.write('{"run": "x"}\n')
    with pytest.raises(ValueError, match="line 7 is no result line"):
        results.read(path)


def test_table():
    header, body = results.table(lines())
    assert header == [
        "task",
        "metric",
        "n",
        "blind",
        "truth",
        "1 step",
        "skill",
        "4 steps",
        "skill",
    ]
    assert body == [
        ["depth", "delta1 ↑", "2 (1 skipped)", "0.500", "1.000", "0.750 [0.600, 0.900]", "0.500",
         "0.250", "-0.500"],
        ["depth", "AbsRel ↓", "2 (1 skipped)", "0.400", "0.000", "0.300", "0.250", "-", "-"],
    ]  # fmt: skip
    old = {name: x for name, x in lines()[0].items() if name not in ("low", "high", "pictures")}
    assert results.table([old | {"skipped": 0}])[1][0][2:6] == ["3", "0.500", "1.000", "0.750"]
    assert results.table(lines(), every=True)[1][2] == [
        "depth", "RMSE", "2 (1 skipped)", "12.0", "0.000", "8.000", "-", "-", "-",
    ]  # fmt: skip


def test_table_shows_what_differs_between_lines():
    header, body = results.table(lines() + lines(run="y", checkpoint_step=7)[:1])
    assert header[:3] == ["run", "task", "metric"]
    assert [row[0] for row in body] == ["x", "x", "y"]
    # Run y was scored at one step only.
    assert body[2][-2:] == ["-", "-"]


def test_settings_that_only_tasks_differ_in_are_no_column():
    drawn = [row | {"task": "image_generation"} for row in lines(text_guidance=4.0)]
    assert results.table(lines(text_guidance=1.0) + drawn)[0][:2] == ["task", "metric"]
    both = lines(text_guidance=1.0) + lines(text_guidance=4.0)
    assert results.table(both)[0][:2] == ["text_guidance", "task"]


def test_lines_of_other_weights_stand_apart(tmp_path):
    path = tmp_path / "results.jsonl"
    old, a, b = lines(), lines(weights="a1"), lines(weights="b2")
    for part in (old, a, b, a):
        results.write(path, part)
    seen = results.read(path)
    assert [row.get("weights") for row in seen] == [None] * 6 + ["b2"] * 6 + ["a1"] * 6
    assert results.of_weights(seen, 7, "a1") == a and results.of_weights(seen, 7, "b2") == b
    # Lines that name no weights stand for their step, until there are some that do.
    assert results.of_weights(seen, 7, "c3") == old
    assert results.of_weights(seen, 8, "c3") == []
    header, body = results.table(a + b)
    assert header[:3] == ["weights", "task", "metric"]
    assert [row[0] for row in body] == ["a1"] * 2 + ["b2"] * 2
    # Other runs and steps have other weights, which say nothing more.
    other = lines(weights="b2", checkpoint_step=8)
    assert results.table(a + other)[0][:2] == ["checkpoint_step", "task"]


def test_without_a_file_the_published_figures_stand_alone(tmp_path, capsys):
    results.main([])
    shown = capsys.readouterr().out
    assert "Vision Banana" in shown and "69.9" in shown and "2604.20329" in shown
    path = tmp_path / "results.jsonl"
    results.write(path, lines())
    results.main([str(path)])
    shown = capsys.readouterr().out
    assert "0.750 [0.600, 0.900]" in shown and "69.9" not in shown
    results.main(["--output", str(tmp_path / "tables")])
    assert not capsys.readouterr().out


def test_intervals_by_hand():
    header, body = results.intervals(lines())
    assert header == ["task", "metric", "1 step"]  # the only one that has an interval
    assert body == [["depth", "delta1", "0.600 to 0.900"]]
    four = {**lines()[0], "steps": 4, "low": 12.0, "high": 13.5}
    header, body = results.intervals([*lines(), four, four | {"metric": "mean"}])
    assert header == ["task", "metric", "1 step", "4 steps"]
    assert body == [
        ["depth", "delta1", "0.600 to 0.900", "12.0 to 13.5"],
        ["depth", "mean", "-", "12.0 to 13.5"],
    ]
    assert results.intervals([]) == (["task", "metric"], [])


def test_intervals_of_other_evaluations_stand_apart():
    """As in the table of scores: nothing tells which of two the last one was."""
    (one, *_) = lines()
    others = [one | {"count": 16}, one | {"votes": 4}, one | {"benchmark": "nyu_depth"}]
    header, body = results.intervals([one, *others])
    assert header[:-1] == results.table([one, *others])[0][:5]
    assert header == ["benchmark", "count", "votes", "task", "metric", "1 step"]
    rest = ["depth", "delta1", "0.600 to 0.900"]
    assert body == [
        ["scenes", "3", "None", *rest],
        ["scenes", "16", "None", *rest],
        ["scenes", "3", "4", *rest],
        ["nyu_depth", "3", "None", *rest],
    ]
    older = one | {"seed": 1, "low": None, "high": None}  # from before there were intervals
    oldest = {name: x for name, x in older.items() if name not in ("low", "high")}
    for without in (older, oldest):
        assert results.intervals([one, without]) == (
            ["seed", "task", "metric", "1 step"], [["0", *rest]],
        )  # fmt: skip


def test_markdown():
    text = results.markdown(["task", "1 step"], [["depth", "0.5"], ["x", "12.25"]])
    assert text == (
        "| task  | 1 step |\n"
        "| :---- | -----: |\n"
        "| depth |    0.5 |\n"
        "| x     |  12.25 |"
    )  # fmt: skip


def test_an_empty_table_is_a_table():
    header, body = results.table([])
    assert results.markdown(header, body).count("\n") == 1


def test_guidance_of_what_is_asked_without_it_is_none(tmp_path):
    path = tmp_path / "results.jsonl"
    results.write(path, lines(text_guidance=4.0))  # as it was written of every task before
    results.write(path, lines(text_guidance=1.0))
    assert [row["text_guidance"] for row in results.read(path)] == [1.0] * 6


@pytest.mark.parametrize(
    ("name", "values"), [("text_guidance", (1.0, 4.0)), ("calibrated", (False, True))]
)
def test_lines_that_differ_in_guidance_or_calibration_both_stand(tmp_path, name, values):
    path = tmp_path / "results.jsonl"
    for origin in ({}, *({name: value} for value in values)):  # the first as lines were once
        results.write(path, [row | {"task": "image_generation"} for row in lines(**origin)])
    seen = results.read(path)
    assert [row.get(name) for row in seen] == [None] * 6 + [values[0]] * 6 + [values[1]] * 6
    header, body = results.table(seen)
    assert header[0] == name and [row[0] for row in body[::2]] == ["None", *map(str, values)]
