import io
import json

import numpy as np
import pytest
import stub_labeller
from exit_codes import exit_code
from PIL import Image

from vision_banana.data import annotate, prepare, shards, source

pytest.importorskip("pycocotools")


def _png(squares, ground=(0, 0, 0)):
    picture = np.full((6, 8, 3), ground, np.uint8)
    for top, left, side in squares:
        picture[top : top + side, left : left + side] = [255, 0, 0]
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def unlabelled(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in {
        "a": _png([(0, 0, 1), (2, 2, 3)]),
        "b": _png([]),
        "c": _png([], (0, 0, 255)),
        "d": _png([(1, 5, 2)]),
    }.items():
        (folder / f"{name}.png").write_bytes(data)
    (folder / "d.txt").write_text("a square")
    prepare.prepare([str(folder)], str(tmp_path / "plain"), captions=False, shard_bytes=1)
    return str(tmp_path / "plain")


def test_masks_and_phrases_are_written_and_read_back(unlabelled, tmp_path, capsys):
    out = str(tmp_path / "out")
    asked = [unlabelled, "--labeller", "stub_labeller:squares", "--output", out]
    assert annotate.main(asked) == 0
    said = capsys.readouterr().out
    assert "2 pictures, 1 with captions, 2 with outlined phrases" in said
    bad = [json.loads(line) for line in (tmp_path / "out" / "bad.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in bad] == [
        "the labeller found nothing", "the labeller failed: blue: no use"
    ]  # fmt: skip
    read = shards.Shards(out)
    assert read.tasks == ("image_generation", "instance_segmentation", "referring_segmentation")
    example = read.example(0, "instance_segmentation")
    expected = np.zeros((6, 8), int)
    expected[0, 0] = 2  # the smaller one comes second
    expected[2:5, 2:5] = 1
    assert example.label.tolist() == expected.tolist() and example.words == {"phrase": "red square"}
    np.testing.assert_array_equal(example.references[0][..., 0], expected > 0)
    region = read.example(0, "referring_segmentation")
    assert region.words == {"expressions": ("red square",)}
    assert region.label[0].tolist() == (expected > 0).tolist()
    with pytest.raises(source.BadRecord, match=r"a\.png.*no caption"):
        read.example(0, "image_generation")
    assert read.example(1, "image_generation").words["caption"] == "a square"


def test_phrases_that_were_there_are_kept(unlabelled, tmp_path):
    once, twice = str(tmp_path / "once"), str(tmp_path / "twice")
    annotate.annotate(unlabelled, "stub_labeller:squares", once)
    annotate.annotate(once, "stub_labeller:corner", twice)
    read = shards.Shards(twice, texts_per_picture=2)
    asked = [read.example(i, "instance_segmentation") for i in range(2)]
    assert [example.words["phrase"] for example in asked] == ["red square", "corner"]
    assert [int(example.label.max()) for example in asked] == [2, 1]


def test_an_interrupted_run_goes_on(unlabelled, tmp_path, monkeypatch):
    out = str(tmp_path / "out")
    squares, calls = stub_labeller.squares, []

    def stops(picture):
        calls.append(picture.shape)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return squares(picture)

    monkeypatch.setattr(stub_labeller, "squares", stops)
    asked = [unlabelled, "--labeller", "stub_labeller:squares", "--output", out, "--shard_mb", "0"]
    assert exit_code(annotate.main, asked) == 130
    assert annotate.main(asked) == 0
    assert len(calls) == 5  # the last picture twice, no other
    assert len(shards.Shards(out)) == 2


@pytest.mark.parametrize(
    ("labeller", "reason"), [("wrong_size", "masks that do not fit"), ("no_phrase", "no phrase")]
)
def test_an_answer_that_does_not_fit_is_a_bad_record(unlabelled, tmp_path, labeller, reason):
    found = annotate.annotate(unlabelled, f"stub_labeller:{labeller}", str(tmp_path / "out"))
    assert found.records == 0 and found.bad == {reason: 4}


def test_pictures_above_the_limit_are_not_shown_to_the_labeller(unlabelled, tmp_path):
    asked = [unlabelled, "--labeller", "stub_labeller:squares", "--output", str(tmp_path / "out")]
    annotate.main([*asked, "--max_pixels", "47"])
    bad = [json.loads(line) for line in (tmp_path / "out" / "bad.jsonl").read_text().splitlines()]
    assert len(bad) == 4
    assert all("8x6 = 48 pixels, more than the limit of 47" in row["reason"] for row in bad)


@pytest.mark.parametrize("name", ["stub_labeller:none", "no_such_module:x", "stub_labeller", ":x",
                                  "stub_labeller:NUMBER"])  # fmt: skip
def test_no_labeller_of_that_name(unlabelled, tmp_path, name):
    with pytest.raises(ValueError, match=r"labeller .* (cannot be imported|is no function)"):
        annotate.annotate(unlabelled, name, str(tmp_path / "out"))
