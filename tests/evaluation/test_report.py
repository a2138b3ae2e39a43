import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from vision_banana.evaluation import charts, photographs, report, report_pictures
from vision_banana.evaluation.phases import Phase
from vision_banana.evaluation.report import Cloud, Generation, Photo, Row, Table

EMPTY_TAGS = {"meta", "img", "line", "polyline", "br", "!doctype"}


class Page(html.parser.HTMLParser):
    """Checks that tags nest, and collects pictures, references and scripts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.scripts, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] == "script" else self.text).append(data)


WORDS = ("", " in viridis colors", "")


def rows(rng, count=2):
    pictures = [rng.random((16, 16, 3)).astype(np.float32) for _ in range(5)]
    error = np.where(rng.random((16, 16)) < 0.2, np.nan, rng.random((16, 16)))
    full = [
        Row("depth", "depth map", [pictures[0]], pictures[1], pictures[2], pictures[3], error, "x"),
        Row("semantic_segmentation", '{"a": red, "b": blue}', pictures[:1], pictures[1]),
        Row("image_editing", 'put it <there> & "here"', pictures[:2], pictures[1], pictures[2]),
        Row("image_generation", "a cube", [], pictures[1], pictures[2]),
    ]
    return full * count


@pytest.fixture(scope="module")
def page():
    rng = np.random.default_rng(0)
    depth_m = rng.random((16, 16)) * 10 + 1
    depth_m[0] = np.inf
    picture = rng.random((16, 16, 3)).astype(np.float32)
    records = [{"step": 20 * i, "loss": 1 / (i + 1), "loss/depth": 0.5} for i in range(1, 90)]
    return report.build(
        "Run <1> & more",
        "What this is.",
        {"seed": "0", "config": "configs/a.py"},
        generations=[Generation("a red cube </figure>", picture)],
        rows=rows(rng),
        scores=Table(("task", "metric", "1 step", "skill"), [("depth", "delta1 ↑", "0.5", "0.25")]),
        scores_note="on 64 scenes",
        phases=[Phase("pretrain", "runs/pretrain", records), Phase("tune", "runs/tune", records)],
        clouds=[Cloud("scene </script>", depth_m, picture, 55.0)],
        photos=[Photo("a bus", picture, "somebody; CC BY 2.0", rows(rng, 1)[:2])],
        photos_note="These are far from the training data.",
    )


def test_page_is_well_formed(page):
    parsed = Page(page)
    text = "".join(parsed.text)
    for words in ("Run <1> & more", "far from the training data", "CC BY 2.0", "on 64 scenes"):
        assert words in text
    assert 'put it <there> & "here"' in text


def test_every_picture_decodes(page):
    sources = [value for tag, name, value in Page(page).attributes if (tag, name) == ("img", "src")]
    # 1 generation; 2 x (depth 2 ramps once, 5 + 2 + 4 + 2 pictures); photo and its answers.
    assert len(sources) == 1 + 2 + 2 * (5 + 2 + 4 + 2) + 1 + 3
    for source in sources:
        prefix, data = source.split(",", 1)
        assert prefix == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").size > (0, 0)


def test_each_colour_map_that_is_asked_for_has_its_legend():
    asked = [rows(np.random.default_rng(0), 1)[0]._replace(prompt=f"depth map{x}") for x in WORDS]
    assert report._task("depth", asked).count('class="ramps"') == 2


def test_nothing_is_fetched(page):
    assert not re.search(r"https?:|//[a-z]", page.split("<script>")[0])
    for tag, name, value in Page(page).attributes:
        if name in ("src", "href", "srcset", "action", "poster", "data"):
            assert value.startswith(("data:image/png", "#")), (tag, name, value)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttp|import\(", page)


def test_links_lead_somewhere(page):
    attributes = Page(page).attributes
    targets = {value for _, name, value in attributes if name == "id"}
    links = [value[1:] for tag, name, value in attributes if (tag, name) == ("a", "href")]
    assert len(links) == 6
    assert set(links) <= targets


def test_cloud_says_its_field_of_view_and_drops_sky(page):
    data = json.loads(next(s for s in Page(page).scripts if s.startswith("[")))
    (cloud,) = data
    assert len(cloud["points"]) == len(cloud["colors"]) == 3 * 15 * 16
    assert "55 degrees" in cloud["note"] and "16 pixels" in cloud["note"]
    assert max(cloud["points"][2::3]) < 0


def test_empty_report_has_no_sections():
    page = report.build("t", "l", {})
    Page(page)
    assert "<section" not in page and "getElementById" not in page


def test_picture_levels_by_hand():
    picture = np.array([[[0.0, 0.5, 1.0], [-3.0, 7.0, np.nan]]])
    data = base64.b64decode(report_pictures.data_uri(picture).split(",")[1])
    assert np.asarray(Image.open(io.BytesIO(data))).tolist() == [[[0, 128, 255], [0, 255, 0]]]


def test_error_colors():
    drawn = report_pictures.error_picture(np.array([[0.0, 1.0, 5.0, np.nan]]))[0]
    np.testing.assert_allclose(drawn[0], 1)
    np.testing.assert_allclose(drawn[1], (0.35, 0.02, 0.08), atol=1e-6)
    np.testing.assert_allclose(drawn[2], drawn[1])
    np.testing.assert_allclose(drawn[3], 0.78, atol=1e-6)


def test_skill_bar_is_as_long_as_the_skill():
    table = Table(("task", "skill"), [("a", 0.5), ("b", "-0.2"), ("c", "1.000"), ("d", "-")])
    page = report.build("t", "l", {}, scores=table)
    # A full bar takes 60 % of its cell.
    assert re.findall(r"background-size:(\d+)%", page) == ["30", "0", "60"]


def test_chart_lays_phases_end_to_end_and_marks_each():
    # Losses 1 and 0.01 over 25 + 75 steps: log axis from -2.05 to 0.05, height 26 to 280.
    svg = charts.loss_chart(
        [("one", [{"step": 5, "loss": 1.0}, {"step": 25, "loss": 0.01}]),
         ("<two>", [{"step": 75, "loss": 0.1}])]
    )  # fmt: skip
    first, second = re.findall(r'points="([^"]+)"', svg)
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in first.split())
    width = 938 - 46
    assert (x0, x1) == pytest.approx((46 + 0.05 * width, 46 + 0.25 * width), abs=0.06)
    assert y0 == pytest.approx(26 + 254 * 0.05 / 2.1, abs=0.06)
    assert y1 == pytest.approx(26 + 254 * 2.05 / 2.1, abs=0.06)
    assert second.split(",")[0] == "938.0"  # the last step of all
    assert ">0.1</text>" in svg
    marks = re.findall(r'x1="([\d.]+)"[^>]*class="phase"/><text[^>]*>([^<]+)<', svg)
    assert marks == [("46.0", "one"), ("269.0", "&lt;two&gt;")]


def test_chart_survives_gaps_and_bad_values():
    records = [{"step": 1, "loss": float("nan")}, {"step": 2, "loss/depth": 0.1}]
    svg = charts.loss_chart([("a", records), ("b", []), ("c", records)])
    assert "depth" in svg and "nan" not in svg
    assert "No losses" in charts.loss_chart([("a", [{"step": 3, "grad_norm": 1.0}])])


def test_packaged_photographs_are_small_and_licensed():
    found = photographs.load()
    files = sorted(photographs.FOLDER.glob("*.jpg"))
    assert sorted(p.name for p in found) == [f.stem for f in files]
    assert 3 <= len(files) <= 4
    for file, photo in zip(files, sorted(found, key=lambda p: p.name), strict=True):
        assert file.stat().st_size < 25_000
        assert max(photo.picture.shape[:2]) <= 256
        assert re.search(r"CC BY(-SA)? \d\.0", photo.credit)
