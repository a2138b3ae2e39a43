import json
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from vision_banana.data import refcocog, source

pytest.importorskip("pycocotools")

SQUARE = [[1, 1, 3, 1, 3, 3, 1, 3]]


def _write(root, refs, segmentation=SQUARE, **size):
    (root / "refcocog").mkdir(parents=True, exist_ok=True)
    shown = root / "images" / "mscoco" / "images" / "train2014"
    shown.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 4), (255, 0, 0)).save(shown / "COCO_train2014_000000000007.jpg")
    tables = {
        "images": [{"id": 7, "file_name": "COCO_train2014_000000000007.jpg", **size}],
        "annotations": [{"id": 70, "image_id": 7, "segmentation": segmentation}],
    }
    (root / "refcocog" / "instances.json").write_text(json.dumps(tables))
    (root / "refcocog" / "refs(umd).p").write_bytes(pickle.dumps(refs, protocol=2))


def _ref(number, split, *sentences):
    rows = [{"sent": s, "sent_id": 10 * number + i, "raw": s} for i, s in enumerate(sentences)]
    return {
        "ref_id": number, "ann_id": 70, "image_id": 7, "split": split, "sentences": rows
    }  # fmt: skip


def test_one_record_for_each_sentence_of_val(tmp_path):
    _write(tmp_path, [_ref(1, "val", " The Red Box ", "a box"), _ref(2, "train", "x"),
                      _ref(3, "val", "it")])  # fmt: skip
    read = refcocog.refcocog(str(tmp_path))
    assert [read.key(i) for i in range(len(read))] == [
        "refcocog/val/1/10", "refcocog/val/1/11", "refcocog/val/3/30"
    ]  # fmt: skip
    example = read.example(0, "referring_segmentation")
    assert example.words == {"expressions": ("the red box",)}
    assert example.label.shape == (1, 4, 5) and example.valid.all()
    expected = np.zeros((4, 5), int)
    expected[1:3, 1:3] = 1
    assert example.label[0].astype(int).tolist() == expected.tolist()


def test_sentences_about_one_picture_follow_each_other(tmp_path):
    _write(tmp_path, [_ref(1, "val", "a", "b"), {**_ref(2, "val", "c"), "image_id": 6},
                      _ref(3, "val", "d")])  # fmt: skip
    path = tmp_path / "refcocog" / "instances.json"
    tables = json.loads(path.read_text())
    tables["images"].append({"id": 6, "file_name": "COCO_train2014_000000000006.jpg"})
    path.write_text(json.dumps(tables))
    read = refcocog.refcocog(str(tmp_path))
    keys = [read.key(i).removeprefix("refcocog/val/") for i in range(len(read))]
    assert keys == ["2/20", "1/10", "1/11", "3/30"]


def test_an_empty_region_or_another_size_is_a_bad_record(tmp_path):
    _write(tmp_path, [_ref(1, "val", "a")], {"size": [4, 5], "counts": [20]})
    with pytest.raises(source.BadRecord, match=r"region is empty"):
        refcocog.refcocog(str(tmp_path)).example(0, "referring_segmentation")
    for broken in ([[1, 1, 5]], [[]]):
        _write(tmp_path, [_ref(1, "val", "a")], broken)
        with pytest.raises(source.BadRecord, match=r"is no polygon"):
            refcocog.refcocog(str(tmp_path)).example(0, "referring_segmentation")
    _write(tmp_path, [_ref(1, "val", "a")], {"size": [9, 9], "counts": [81]})
    with pytest.raises(source.BadRecord, match=r"it is \[9, 9\], and the picture is \[4, 5\]"):
        refcocog.refcocog(str(tmp_path)).example(0, "referring_segmentation")


def test_a_picture_that_was_resized_or_turned_is_a_bad_record(tmp_path):
    for height, width in ((8, 10), (5, 4)):
        _write(tmp_path, [_ref(1, "val", "a")], height=height, width=width)
        says = rf"the picture is \(4, 5\) and instances\.json says \({height}, {width}\)"
        with pytest.raises(source.BadRecord, match=says):
            refcocog.refcocog(str(tmp_path)).example(0, "referring_segmentation")
    _write(tmp_path, [_ref(1, "val", "a")], height=4, width=5)
    assert refcocog.refcocog(str(tmp_path)).example(0, "referring_segmentation").label.any()


class _Evil:
    def __reduce__(self):
        return (os.mkdir, ("was_here",))


def test_a_pickle_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _write(tmp_path, [_Evil()])
    with pytest.raises(ValueError, match=r"refs\(umd\)\.p is damaged or no plain data.*mkdir"):
        refcocog.refcocog(str(tmp_path))
    assert not (tmp_path / "was_here").exists()
    path = tmp_path / "refcocog" / "refs(umd).p"
    path.write_bytes(pickle.dumps([_ref(1, "val", "a")], protocol=2)[:-9])
    with pytest.raises(ValueError, match=r"damaged"):
        refcocog.refcocog(str(tmp_path))


def test_files_that_do_not_belong_together(tmp_path):
    _write(tmp_path, [{**_ref(1, "val", "a"), "ann_id": 71}])
    with pytest.raises(ValueError, match=r"region 71.*do not belong together"):
        refcocog.refcocog(str(tmp_path))


def test_tables_of_another_form_are_named(tmp_path):
    _write(tmp_path, [3])
    with pytest.raises(ValueError, match=r"refs\(umd\)\.p or .*has not the form.*TypeError"):
        refcocog.refcocog(str(tmp_path))
    (tmp_path / "refcocog" / "instances.json").write_text("{}")
    with pytest.raises(ValueError, match=r"instances\.json has not the form.*'images'"):
        refcocog.refcocog(str(tmp_path))
