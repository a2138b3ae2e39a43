"""The paper's tables: published figures with their sources, our numbers beside them, formats."""

import csv
import io
from html.parser import HTMLParser

import pytest

from vision_banana.data import saco_gold
from vision_banana.evaluation import benchmarks, paper_tables, results, table_formats
from vision_banana.tasks import TASKS


def line(benchmark, metric, value, **fields):
    base = {
        "run": "ours", "checkpoint_step": 7, "benchmark": benchmark, "task": "x", "metric": metric,
        "steps": 1, "seed": 0, "count": 10, "value": value, "low": None, "high": None,
        "blind": None, "truth": None, "perfect": 1.0, "skill": None, "skipped": 0, "votes": 1,
    }  # fmt: skip
    return base | fields


def table(lines, name):
    return next(t for t in paper_tables.build(lines) if t.name == name)


def test_published_figures_stand_with_their_sources():
    semantic = table([], "semantic_segmentation")
    assert [(x.method, x.cells[0].text) for x in semantic.lines[:2]] == [
        ("Vision Banana", "69.9"), ("SAM 3", "65.2"),
    ]  # fmt: skip
    depth = table([], "depth_delta1").lines[0]
    assert [c.text for c in depth.cells] == [
        "0.948", "0.934", "0.935", "0.917", "0.915", "0.643", "0.882", "0.929",
    ]  # fmt: skip
    # The paper's mean is the mean of its six.
    assert sum(c.value for c in depth.cells[:6]) / 6 == pytest.approx(
        depth.cells[6].value, abs=1e-3
    )
    # The mean of the four sets that Depth Anything 3 has numbers on: 0.929 and 0.918.
    anything = next(x for x in table([], "depth_delta1").lines if x.method == "Depth Anything 3")
    assert anything.cells[7].text == "0.918"
    for row in (depth, anything):
        four = sum(row.cells[i].value for i in (0, 2, 3, 4)) / 4
        assert four == pytest.approx(row.cells[7].value, abs=5e-4)
    normals = table([], "surface_normals_mean").lines[0]
    indoor = sum(c.value for c in normals.cells[:3]) / 3
    assert indoor == pytest.approx(normals.cells[3].value, abs=1e-3)
    for each in paper_tables.build([]):
        assert all(x.source and not x.ours for x in each.lines)


def test_the_subsets_of_saco_have_the_published_means():
    means = table([], "instance_segmentation").lines[0].cells
    for name, mean in zip(("cgf1", "il_mcc", "pmf1"), means, strict=True):
        of_one = table([], f"instance_segmentation_{name}")
        assert len(of_one.columns) == 7 and len(saco_gold.SUBSETS) == 7
        cells = of_one.lines[0].cells
        digits = len(mean.text.partition(".")[2])
        average = sum(cell.value for cell in cells) / 7
        assert average == pytest.approx(mean.value, abs=0.6 * 10**-digits)
    assert [c.text for c in table([], "instance_segmentation_cgf1").lines[0].cells][3:5] == [
        "57.2", "63.0",
    ]  # fmt: skip


def test_every_column_is_a_benchmark_and_a_metric_of_it():
    for stored in paper_tables.published():
        for column in stored["columns"]:
            for name in column["benchmarks"]:
                row = benchmarks.BENCHMARKS[name]
                if row.judged:
                    continue
                task = benchmarks.scored_task(row, row.tasks[0])
                assert column["metric"] in task.perfect, (name, column["metric"])
                better = {1.0: "higher", 0.0: "lower"}[task.perfect[column["metric"]]]
                assert column["better"] == better
    assert set(TASKS)


def test_ours_beside_them_and_empty_where_not_run():
    lines = [line("cityscapes", "mIoU", 0.5678, low=0.5512, high=0.5819, count=500)]
    ours = table(lines, "semantic_segmentation").lines[-1]
    assert (ours.method, ours.ours) == ("ours", True)
    assert ours.cells[0].full == "56.8 [55.1, 58.2] n=500"
    assert not any(x.ours for x in table(lines, "depth_delta1").lines)
    some = [line("nyu_depth", "delta1", 0.5), line("ibims", "delta1", 0.25)]
    cells = table(some, "depth_delta1").lines[-1].cells
    assert [c and c.text for c in cells] == ["0.500", "0.250", *[None] * 6]


def test_pictures_are_counted_and_not_questions():
    new = line("refcocog", "cIoU", 0.7, count=4896, pictures=1300, whole=True)
    old = line("refcocog", "cIoU", 0.7, count=4896)  # does not say
    for row, pictures in ((new, 1300), (old, 4896)):
        (mine,) = [x for x in table([row], "referring_segmentation").lines if x.ours]
        assert mine.cells[0].full == f"70.0 n={pictures}"


def test_a_mean_needs_all_its_sets():
    sets = ("nyu_normals", "diode_normals", "scannet_normals")
    lines = [line(b, "mean", v) for b, v in zip(sets, (10.0, 20.0, 60.0), strict=True)]
    cells = table(lines, "surface_normals_mean").lines[-1].cells
    assert cells[3].full == "30.000 n=30"
    assert cells[4] is None and cells[5] is None


def test_a_mean_over_sets_has_the_interval_of_a_stratified_sample():
    """Three sets whose intervals reach 3, 6 and 6 below and 2, 4 and 4 above their values."""
    made = zip(
        ("nyu_normals", "diode_normals", "scannet_normals"),
        ((10.0, 7, 12), (20.0, 14, 24), (60.0, 54, 64)),
        (654, 325, 300),
        strict=True,
    )
    lines = [
        line(b, "mean", v, low=low, high=high, count=n, whole=True) for b, (v, low, high), n in made
    ]
    cells = table(lines, "surface_normals_mean").lines[-1].cells
    # sqrt(9 + 36 + 36) / 3 = 3 below and sqrt(4 + 16 + 16) / 3 = 2 above.
    assert cells[3].full == "30.000 [27.000, 32.000] n=1279"
    lines[1]["low"] = None
    assert table(lines, "surface_normals_mean").lines[-1].cells[3].full == "30.000 n=1279"


def test_a_mean_over_sets_spreads_as_the_seeds_means_do():
    """Means of 20 and 30; what the seeds do on single sets cancels partly."""
    lines = []
    for run, values in (("x-seed0", (10.0, 20.0, 30.0)), ("x-seed1", (50.0, 10.0, 30.0))):
        for b, v in zip(("nyu_normals", "diode_normals", "scannet_normals"), values, strict=True):
            lines.append(line(b, "mean", v, run=run, low=v - 3, high=v + 3))
    cell = table(lines, "surface_normals_mean").lines[-1].cells[3]
    assert (cell.value, cell.seeds) == (25.0, 2)
    assert cell.spread == pytest.approx(7.0710678)  # of 20 and 30, over n - 1
    assert (cell.low, cell.high) == pytest.approx((25 - 3**0.5, 25 + 3**0.5))
    del lines[-1]  # the second seed lacks a set, so that there is one mean alone
    cell = table(lines, "surface_normals_mean").lines[-1].cells[3]
    assert (cell.spread, cell.seeds) == (None, 1)


def test_seeds_spread():
    lines = [
        line("refcocog", "cIoU", v, run=f"big-seed{i}", low=v - 0.3, high=0.9, count=10 - i,
             skipped=i)
        for i, v in enumerate((0.5, 0.6, 0.7))
    ]  # fmt: skip
    (ours,) = [x for x in table(lines, "referring_segmentation").lines if x.ours]
    assert ours.method == "big"
    assert ours.cells[0].full == "60.0 ± 10 (3 seeds) [30.0, 90.0] n=8 (2 skipped)"


def test_other_ways_of_asking_are_other_rows():
    lines = [line("cityscapes", "mIoU", 0.5), line("cityscapes", "mIoU", 0.6, votes=20),
             line("cityscapes", "mIoU", 0.55, steps=4)]  # fmt: skip
    ours = [x for x in table(lines, "semantic_segmentation").lines if x.ours]
    assert [x.cells[0].text for x in ours] == ["50.0", "60.0", "55.0"]
    assert "20 votes" in ours[1].note and "4 steps" in ours[2].note


LINES = [line("cityscapes", "mIoU", 0.5, low=0.4, high=0.6, run="a_b & <c>")]


def test_markdown():
    text = table_formats.markdown(paper_tables.build(LINES))
    assert "| method | mIoU ↑ | source |\n| :-- | --: | :-- |\n| Vision Banana | 69.9 |" in text
    assert "| a_b & <c> (checkpoint 7, 1 step) | 50.0 [40.0, 60.0] n=10 | this code |" in text


def test_latex():
    text = table_formats.latex(paper_tables.build(LINES))
    assert r"a\_b \& <c> (checkpoint 7, 1 step) & 50.0 [40.0, 60.0] n=10 & this code \\" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 11
    rows = [row for row in text.splitlines() if row.startswith("UniK3D")]
    assert [row.count(" & ") for row in rows] == [9, 8]  # delta1 has the four-set mean too
    assert all(row.endswith(r"\\") for row in rows)


def test_csv_holds_one_number_a_line():
    rows = list(csv.DictReader(io.StringIO(table_formats.as_csv(paper_tables.build(LINES)))))
    (ours,) = [r for r in rows if r["ours"] == "True"]
    assert (ours["table"], ours["value"], ours["low"], ours["pictures"]) == (
        "semantic_segmentation", "50.0", "40.0", "10",
    )  # fmt: skip
    assert all(r["value"] for r in rows)


@pytest.mark.parametrize("write", [*table_formats.FORMATS.values()])
def test_what_was_skipped_stands_beside_each_number(write):
    sets = ("nyu_normals", "diode_normals", "scannet_normals")
    lines = [line(b, "mean", 20.0, skipped=n, whole=True) for n, b in enumerate(sets, 1)]
    text = write(paper_tables.build(lines))
    if write is table_formats.as_csv:
        rows = [row for row in csv.DictReader(io.StringIO(text)) if row["ours"] == "True"]
        assert [row["skipped"] for row in rows] == ["1", "2", "3", "6"]  # the last is their mean
    else:
        assert all(f"n={n} ({m} skipped)" in text for n, m in ((10, 1), (10, 2), (10, 3), (30, 6)))


def test_the_page_is_well_formed_and_plots_ours():
    opened = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "circle", "line"):
                opened.append(tag)

        def handle_endtag(self, tag):
            if tag not in ("circle", "line"):
                assert opened.pop() == tag

    page = table_formats.page(paper_tables.build(LINES))
    Reader().feed(page)
    assert opened == [] and "a_b &amp; &lt;c&gt;" in page
    assert page.count(f'fill="{table_formats.OURS}"') == 1
    assert page.count("<svg") == sum(len(t.columns) for t in paper_tables.build([]))


def test_the_command_writes_every_format(tmp_path, capsys):
    path = tmp_path / "results.jsonl"
    results.write(path, LINES)
    results.main([str(path), "--paper", "csv", "--output", str(tmp_path / "out")])
    assert "a_b & <c>" in capsys.readouterr().out
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == [
        "tables.csv", "tables.html", "tables.md", "tables.tex",
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        results.main([str(tmp_path / "none.jsonl")])
    assert "none.jsonl" in capsys.readouterr().err


def ours(lines, name):
    return [x for x in table(lines, name).lines if x.ours]


def test_other_checkpoints_and_parts_are_no_seeds():
    lines = [line("cityscapes", "mIoU", 0.5), line("cityscapes", "mIoU", 0.6, checkpoint_step=8),
             line("cityscapes", "mIoU", 0.7, count=20)]  # fmt: skip
    found = ours(lines, "semantic_segmentation")
    assert [x.cells[0].full for x in found] == ["50.0 n=10", "60.0 n=10", "70.0 n=20"]
    assert [x.note for x in found] == [f"checkpoint {i}, 1 step" for i in (7, 8, 7)]


def test_other_weights_of_one_name_are_no_seeds():
    lines = [line("cityscapes", "mIoU", value, weights=name, seed=seed)
             for value, name, seed in ((0.5, "a1", 0), (0.6, "b2", 0), (0.7, "a1", 1))]  # fmt: skip
    found = ours(lines, "semantic_segmentation")
    assert [(x.cells[0].text, x.cells[0].seeds) for x in found] == [("60.0", 2), ("60.0", 1)]
    assert [x.note for x in found] == [f"checkpoint 7 of weights {w}, 1 step" for w in ("a1", "b2")]
    lines = [line("cityscapes", "mIoU", 0.5 + i / 10, run=f"x-seed{i}", weights=f"w{i}")
             for i in range(2)]  # fmt: skip
    lines.append(line("cityscapes", "mIoU", 0.7, run="x-seed2"))  # does not say
    (seeds,) = ours(lines, "semantic_segmentation")
    assert (seeds.cells[0].text, seeds.cells[0].seeds) == ("60.0", 3)
    assert seeds.note == "checkpoint 7, 1 step"


def test_whole_benchmarks_of_any_size_share_a_row():
    lines = [line("nyu_depth", "delta1", 0.5, count=654), line("ibims", "delta1", 0.25, count=100),
             line("eth3d", "delta1", 0.75, count=100)]  # fmt: skip
    found = ours(lines, "depth_delta1")
    assert [[c and c.text for c in x.cells[:3]] for x in found] == [
        ["0.500", "0.250", None], [None, None, "0.750"],
    ]  # fmt: skip
    # SA-Co's sets hold fewer than their files list; the line knows.
    lines += [line(f"saco_gold_{name}", "cgF1", 0.5, count=n, whole=True)
              for n, name in enumerate(saco_gold.SUBSETS, 30)]  # fmt: skip
    (saco,) = ours(lines, "instance_segmentation")
    assert saco.cells[0].full == "50.0 n=231"  # 30 + ... + 36
    # A record that could not be asked leaves the benchmark whole, and is told.
    lines[1] = line("ibims", "delta1", 0.25, count=98, skipped=2)
    assert ours(lines, "depth_delta1")[0].cells[1].full == "0.250 n=98 (2 skipped)"


def test_the_last_of_one_run_s_numbers_stands_and_other_seeds_are_averaged():
    lines = [line("cityscapes", "mIoU", 0.5, count=9, skipped=1), line("cityscapes", "mIoU", 0.6)]
    (one,) = ours(lines, "semantic_segmentation")
    assert one.cells[0].full == "60.0 n=10"
    lines.append(line("cityscapes", "mIoU", 0.8, seed=1))
    (both,) = ours(lines, "semantic_segmentation")
    assert (both.cells[0].text, both.cells[0].seeds) == ("70.0", 2)


def test_guidance_and_calibration_are_ways_of_asking():
    lines = [line("cityscapes", "mIoU", 0.5), line("cityscapes", "mIoU", 0.6, text_guidance=2.5),
             line("cityscapes", "mIoU", 0.7, calibrated=True),
             line("cityscapes", "mIoU", 0.8, votes=4, flips=False)]  # fmt: skip
    lines.append(line("cityscapes", "mIoU", 0.9, text_guidance=1.0))  # that is none
    found = ours(lines, "semantic_segmentation")
    assert [x.cells[0].text for x in found] == ["50.0", "60.0", "70.0", "80.0", "90.0"]
    assert [x.note.split(", ")[2:] for x in found] == [
        [], ["text guidance 2.5"], ["calibrated"], ["4 votes without mirroring"], [],
    ]  # fmt: skip
