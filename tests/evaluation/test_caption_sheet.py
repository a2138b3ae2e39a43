"""The fixed sheet: its captions for good, its grid, and two checkpoints compared on it."""

import hashlib

import nano_run
import numpy as np
import pytest
from PIL import Image

from vision_banana.evaluation import caption_sheet, drawings_compared, score
from vision_banana.tasks import TASKS


def _asked(monkeypatch, task, size, picture, count=64):
    """What the sheet asks a generator of that size, which draws `picture(query)`."""

    def draw(asker, asked, key):
        return {name: [picture(q) for q in rows] for name, rows in asked.items()}

    monkeypatch.setattr(score, "draw", draw)
    config = nano_run.CONFIG | {"data": nano_run.CONFIG["data"] | {"size": size}}
    trained = nano_run.model()._replace(config=config)
    return caption_sheet.draw(trained, [task], count)[task]


@pytest.mark.parametrize("size", [16, 64])
def test_the_captions_never_change(monkeypatch, size):
    grey = np.full((size, size, 3), 0.5, np.float32)
    drawn = _asked(monkeypatch, "image_generation", size, lambda q: grey)
    captions = [q.prompt for q in drawn.queries]
    assert len(captions) == 64 and captions[0].startswith("an orange pyramid left of a green prism")
    digest = hashlib.sha256("\n".join(captions).encode()).hexdigest()
    # If it fails, sheets of different checkpoints cannot be compared: restore the captions.
    assert digest == "83e8b1cd90e9b0f4509ee537be39453b24fa5eb476de6a6d81b330041f5ecd94"
    assert {q.shape for q in drawn.queries} == {(size, size)}


def test_the_truth_scores_better_than_grey_and_the_interval_says_so(monkeypatch):
    grey = np.full((64, 64, 3), 0.5, np.float32)
    columns = []
    for picture in (lambda q: grey, lambda q: q.truth()):
        columns.append(
            {task: _asked(monkeypatch, task, 64, picture, 6) for task in caption_sheet.WORDS}
        )
    header, body = drawings_compared.table(*columns, ("grey", "truth"))
    rows = {row[1]: dict(zip(header, row, strict=True)) for row in body}
    assert rows["color_present ↑"]["grey"] != rows["color_present ↑"]["truth"]
    assert float(rows["color_present ↑"]["truth"]) > 0.9
    low, _, high = rows["color_present ↑"]["95 % interval"].partition(" to ")
    assert 0 < float(low) <= float(rows["color_present ↑"]["difference"]) <= float(high)
    assert rows["edit_error ↓"]["truth"] == "0.000"
    assert float(rows["edit_error ↓"]["difference"]) == -float(rows["edit_error ↓"]["grey"])
    page = drawings_compared.build(*columns, ("grey", "<truth>"), {"seed": "0"})
    assert page.count("<img") == len(columns[0]["image_generation"].queries) * (2 + 4)
    assert "&lt;truth&gt;" in page and "<truth>" not in page


def test_the_sheet_is_a_grid_with_frames_around_what_is_right(monkeypatch):
    ten = _asked(monkeypatch, "image_generation", 64, lambda q: q.truth(), 10)
    sheet = caption_sheet.compose(ten, "title")
    top, tall = 76, caption_sheet.PICTURE + caption_sheet.GAP + 15 * 5
    assert sheet.shape == (top + 2 * tall, 8 * caption_sheet.CELL + caption_sheet.GAP, 3)
    metric = TASKS["image_generation"].metric()
    right = [metric.compute(state)["all_correct"] == 1 for state in ten.states]
    assert sum(right) > 2
    for i, framed in enumerate(right):
        x, y = caption_sheet.GAP + i % 8 * caption_sheet.CELL, top + i // 8 * tall
        assert (tuple(sheet[y - 2, x + 9]) == caption_sheet.RIGHT) == framed
        inside = sheet[y : y + caption_sheet.PICTURE, x : x + caption_sheet.PICTURE]
        mean = np.asarray(ten.pictures[i]).mean((0, 1)) * 255
        np.testing.assert_allclose(inside.mean((0, 1)), mean, atol=1.5)


def test_the_command_writes_the_sheet_and_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    both = tuple(caption_sheet.WORDS)
    drawn = {task: _asked(monkeypatch, task, 16, lambda q: q.truth(), 2) for task in both}
    monkeypatch.setattr(
        caption_sheet, "draw", lambda model, tasks=both: {task: drawn[task] for task in tasks}
    )
    for name in ("a", "b"):
        nano_run.write(tmp_path / name)
    caption_sheet.main(["--checkpoint", str(tmp_path / "b")])
    assert Image.open(tmp_path / "runs" / "b" / "caption_sheet_7.jpg").width > 1000
    caption_sheet.main(["--checkpoint", str(tmp_path / "b"), "--against", str(tmp_path / "a")])
    assert "+0.000 to +0.000" in capsys.readouterr().out
    page = (tmp_path / "runs" / "b" / "drawings_7.html").read_text()
    assert page.count("<img") == 2 * (2 + 4)
    with pytest.raises(SystemExit):
        caption_sheet.main(["--checkpoint", str(tmp_path / "b"), "--against", "pokcet"])
    assert "did you mean 'pocket'" in capsys.readouterr().err
