import json
import os
import pathlib

import numpy as np
import pytest

from vision_banana.data import coco_masks, samples

mask = pytest.importorskip("pycocotools.mask")


def test_polygons_are_joined_by_or():
    left = [0, 0, 2, 0, 2, 3, 0, 3]  # columns 0 and 1
    right = [1, 0, 4, 0, 4, 3, 1, 3]  # columns 1 to 3
    drawn = coco_masks.decode([left, right], (3, 5))
    assert drawn.dtype == bool and drawn.astype(int).tolist() == [[1, 1, 1, 1, 0]] * 3


def test_run_lengths_go_down_the_columns():
    plain = {"size": [2, 3], "counts": [1, 2, 3]}
    expected = [[0, 1, 0], [1, 0, 0]]
    assert coco_masks.decode(plain, (2, 3)).astype(int).tolist() == expected
    packed = mask.encode(np.asfortranarray(expected, np.uint8))
    text = {"size": [2, 3], "counts": packed["counts"].decode()}
    assert coco_masks.decode(text, (2, 3)).astype(int).tolist() == expected


def test_compressed_run_lengths_are_pycocotools_own():
    rng = np.random.default_rng(0)
    for _ in range(40):
        drawn = np.kron(rng.random(rng.integers(1, 9, 2)) < rng.random(), np.ones((9, 13))) > 0
        np.testing.assert_array_equal(coco_masks.decode(mask.encode(np.asfortranarray(
            drawn, np.uint8)), drawn.shape), drawn)  # fmt: skip


@pytest.mark.parametrize("counts", [[1, 2, 3], b"123", "123"])
def test_masks_of_run_lengths_are_drawn_by_pycocotools(monkeypatch, counts):
    drawn = []
    decode = mask.decode
    monkeypatch.setattr(mask, "decode", lambda stored: drawn.append(decode(stored)) or drawn[-1])
    found = coco_masks.decode({"size": [2, 3], "counts": counts}, (2, 3))
    assert found.dtype == bool and found.tolist() == (drawn[0] > 0).tolist()


@pytest.mark.parametrize("kind", [bytes, str])
def test_a_truncated_mask_is_refused_wherever_it_breaks_off(kind):
    drawn = np.zeros((60, 80), bool)
    drawn[10:40, 20:50] = drawn[50:55, 3:9] = True
    whole = coco_masks.encode(drawn)["counts"]
    np.testing.assert_array_equal(
        coco_masks.decode({"size": [60, 80], "counts": whole}, (60, 80)), drawn
    )
    for end in range(len(whole)):
        counts = whole[:end] if kind is bytes else whole[:end].decode()
        with pytest.raises(ValueError, match=r"do not add up to 60 x 80|break off"):
            coco_masks.decode({"size": [60, 80], "counts": counts}, (60, 80))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [3, 2], "counts": [6]}, r"it is \[3, 2\], and the picture is \[2, 3\]"),
        ({"size": [2, 3], "counts": [1, 2]}, r"do not add up to 2 x 3"),
        ({"size": [2, 3]}, r"counts"),
        ({"size": [2, 3], "counts": []}, r"do not add up to 2 x 3"),
        ({"size": [2, 3], "counts": ""}, r"do not add up to 2 x 3"),
        ({"size": [2, 3], "counts": [-1, 7]}, r"do not add up to 2 x 3"),
        ({"size": [2, 3], "counts": "O7"}, r"do not add up to 2 x 3"),  # -1 and 7
        ({"size": [2, 3], "counts": "6 "}, r"the character ' '"),
        ({"size": [2, 3], "counts": "6\xe9"}, r"cannot be used"),
        ({"size": [2, 3], "counts": [5, "x"]}, r"cannot be used"),
        ({"size": [2, 3], "counts": [2.5, 3.5]}, r"do not add up to 2 x 3"),
        ({"size": [2, 3], "counts": [float("inf")]}, r"do not add up to 2 x 3"),
        ({"size": [2, 3], "counts": 6}, r"cannot be used"),
        ([], r"no polygons"),
        ([[1, 1, 5]], r"\[1, 1, 5\] is no polygon"),
        ([[1, 1, 5, 5]], r"is no polygon"),  # to pycocotools a box of 5 x 5
        ([[]], r"\[\] is no polygon"),
        ([[0, 0, 2, 0, 2, 3, 0]], r"is no polygon"),
        ([[0, 0, 2, 0, 2, float("nan")]], r"is no polygon"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], r"none of them far outside"),
        ([["a"] * 6], r"cannot be used"),
        (7, r"cannot be used"),
    ],
)
def test_masks_that_cannot_be_used(segmentation, message):
    with pytest.raises(ValueError, match=message):
        coco_masks.decode(segmentation, (2, 3))


def test_real_outlines_have_the_area_that_their_authors_wrote():
    place = os.environ.get(samples.VARIABLE)
    if not place:
        pytest.skip(f"{samples.VARIABLE} is not set: it names the folder of the sample sets")
    table = json.loads((pathlib.Path(place) / "coco-cc/dev/instances.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in table["images"]}
    ratios, crowds = [], 0
    for annotation in table["annotations"][::5]:
        drawn = coco_masks.decode(annotation["segmentation"], sizes[annotation["image_id"]])
        if annotation["iscrowd"]:
            crowds += 1
            assert drawn.sum() == sum(annotation["segmentation"]["counts"][1::2])
        elif annotation["area"] > 400:
            ratios.append(drawn.sum() / annotation["area"])
    assert len(ratios) > 50 and crowds > 0
    assert (
        abs(np.median(ratios) - 1) < 0.01 and np.percentile(np.abs(np.array(ratios) - 1), 95) < 0.1
    )
