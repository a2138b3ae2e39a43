import json
import re

import numpy as np
import pytest
from PIL import Image

from vision_banana.data import saco_gold, source
from vision_banana.evaluation import benchmarks, check

mask = pytest.importorskip("pycocotools.mask")


def _box(top, left, bottom, right):
    drawn = np.zeros((6, 8), np.uint8)
    drawn[top:bottom, left:right] = 1
    packed = mask.encode(np.asfortranarray(drawn))
    return {"size": [6, 8], "counts": packed["counts"].decode()}


SMALL, LARGE, OTHER = _box(1, 1, 3, 3), _box(0, 0, 4, 5), _box(4, 6, 6, 8)


def _write(root, flags, annotations, subset="crowded"):
    """`flags` and `annotations` for each of the files a, b, c."""
    (root / "annotations").mkdir(exist_ok=True)
    shown = root / ("sa1b-images" if subset == "sa1b" else "metaclip-images")
    shown.mkdir(exist_ok=True)
    Image.new("RGB", (8, 6)).save(shown / "p.jpg")
    for who, flagged, found in zip("abc", flags, annotations, strict=True):
        images = [
            {"id": i, "file_name": "p.jpg", "text_input": f"phrase {i}", "width": 8, "height": 6,
             "is_instance_exhaustive": flag}
            for i, flag in flagged.items()
        ]  # fmt: skip
        rows = [
            {"image_id": i, "segmentation": s, "iscrowd": crowd, "category_id": 1}
            for i, s, crowd in found
        ]
        path = root / "annotations" / f"gold_{subset}_merged_{who}_release_test.json"
        path.write_text(json.dumps({"images": images, "annotations": rows}))


def test_pairs_and_their_three_annotators(tmp_path):
    every = {1: 1, 2: 1, 3: 0, 4: 1}
    _write(
        tmp_path,
        # 3 is not flagged in a alone, 4 is flagged otherwise in c; b does not know 3.
        [every, {1: 1, 2: 1, 4: 1}, {**every, 3: 1, 4: 0}],
        [[(1, SMALL, 0), (1, LARGE, 0), (1, OTHER, 1)], [(1, LARGE, 0)], []],
    )
    read = saco_gold.saco_gold(str(tmp_path), "crowded")
    assert [read.key(i) for i in range(len(read))] == ["saco_gold/crowded/1", "saco_gold/crowded/2"]
    assert read.released == 4
    example = read.example(0, "instance_segmentation")
    assert example.words["phrase"] == "phrase 1"
    a, b, c = example.words["annotators"]
    assert (a.shape, b.shape, c.shape) == ((2, 6, 8), (1, 6, 8), (0, 6, 8))
    assert a.sum((1, 2)).tolist() == [4, 20] and b.sum() == 20
    # The crowd is left out, and the small instance lies in front.
    assert example.label[2, 2] == 2 and example.label[0, 0] == 1 and example.label[5, 7] == 0
    negative = read.example(1, "instance_segmentation")
    assert not negative.label.any()
    assert [len(m) for m in negative.words["annotators"]] == [0, 0, 0]


def test_pairs_about_one_picture_follow_each_other(tmp_path):
    _write(tmp_path, [dict.fromkeys(range(4), 1)] * 3, [[]] * 3)
    for path in (tmp_path / "annotations").iterdir():
        table = json.loads(path.read_text())
        for row, name in zip(table["images"], "pqpo", strict=True):
            row["file_name"] = f"{name}.jpg"
        path.write_text(json.dumps(table))
    read = saco_gold.saco_gold(str(tmp_path), "crowded")
    assert [read.key(i)[-1] for i in range(4)] == ["3", "0", "2", "1"]


@pytest.mark.parametrize("who", "bc")
def test_an_annotator_who_lacks_a_scored_pair_did_not_see_nothing(tmp_path, who):
    """Else the empty answer to pair 2, which holds an object, would be a perfect negative."""
    flags = {w: {1: 1} if w == who else {1: 1, 2: 1} for w in "abc"}
    found = [[] if w == who else [(2, SMALL, 0)] for w in "abc"]
    _write(tmp_path, flags.values(), found)
    said = rf"merged_{who}_release_test\.json lacks 1 of 2 scored pairs, the first 2: fetch"
    with pytest.raises(ValueError, match=said):
        saco_gold.saco_gold(str(tmp_path), "crowded")
    row = benchmarks.BENCHMARKS["saco_gold_crowded"]
    (problem,) = check.check(row._replace(records=2), str(tmp_path)).problems
    assert re.search(said, problem)


def test_bad_pairs_and_folders(tmp_path):
    _write(tmp_path, [{1: 1}] * 3, [[(1, {"size": [8, 6], "counts": "0"}, 0)], [], []], "sa1b")
    read = saco_gold.saco_gold(str(tmp_path), "sa1b")
    with pytest.raises(source.BadRecord, match=r"it is \[8, 6\], and the picture is \[6, 8\]"):
        read.example(0, "instance_segmentation")
    Image.new("RGB", (9, 6)).save(tmp_path / "sa1b-images" / "p.jpg")
    read = saco_gold.saco_gold(str(tmp_path), "sa1b")
    with pytest.raises(source.BadRecord, match=r"picture is \(6, 9\) and the annotations say"):
        read.example(0, "instance_segmentation")
    with pytest.raises(ValueError, match=r"unknown subset 'gold'"):
        saco_gold.saco_gold(str(tmp_path), "gold")
    with pytest.raises(ValueError, match=r"gold_crowded_merged_a_release_test\.json is missing"):
        saco_gold.saco_gold(str(tmp_path), "crowded")
    assert sum(saco_gold.SUBSETS.values()) == 168202 and len(saco_gold.SUBSETS) == 7


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"images": [{"id": 1}], "annotations": []}'])
def test_a_file_of_another_form_is_named(tmp_path, text):
    _write(tmp_path, [{1: 1}] * 3, [[]] * 3)
    path = tmp_path / "annotations" / "gold_crowded_merged_b_release_test.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"merged_b_release_test\.json has not the form"):
        saco_gold.saco_gold(str(tmp_path), "crowded")
