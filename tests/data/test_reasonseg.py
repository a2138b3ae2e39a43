import json

import numpy as np
import pytest
from PIL import Image

from vision_banana.data import reasonseg, source

pytest.importorskip("cv2")


def _square(low, high, label="target"):
    return {"label": label, "points": [[low, low], [high, low], [high, high], [low, high]]}


def _write(root, shapes, text=("which one?", "another wording"), encoding="utf-8", name="a"):
    (root / "val").mkdir(exist_ok=True)
    Image.new("RGB", (8, 7)).save(root / "val" / f"{name}.jpg")
    row = {"text": list(text), "is_sentence": True, "shapes": shapes}
    data = json.dumps(row, ensure_ascii=False).encode(encoding)
    (root / "val" / f"{name}.json").write_bytes(data)
    return reasonseg.reasonseg(str(root))


def test_small_polygons_overwrite_large_ones_and_flags_are_skipped(tmp_path):
    # Written the wrong way round: the small ignored square comes first and must still win.
    shapes = [_square(2, 3, "Ignore"), _square(1.9, 4.9), _square(0, 6, "flag")]
    example = _write(tmp_path, shapes).example(0, "referring_segmentation")
    inside = np.zeros((7, 8), bool)
    inside[1:5, 1:5] = True  # 1.9 is cut to 1, 4.9 to 4, and the outline belongs to it
    ignored = np.zeros((7, 8), bool)
    ignored[2:4, 2:4] = True
    assert (example.label[0] == inside & ~ignored).all()
    assert (example.valid == ~ignored).all()
    assert example.words == {"expressions": ("which one?",), "is_sentence": True}


def test_of_equal_areas_the_later_is_painted_first(tmp_path):
    shapes = [_square(1, 3), _square(2, 4, "ignore")]
    mask = reasonseg.paint(shapes, (7, 8))
    assert mask[2, 2] == 1 and mask[4, 4] == 255


def test_no_target_is_an_empty_mask(tmp_path):
    example = _write(tmp_path, []).example(0, "referring_segmentation")
    assert not example.label.any() and example.valid.all()


def test_texts_in_another_encoding(tmp_path):
    read = _write(tmp_path, [_square(1, 2)], ("where is the café?",), "cp1252")
    words = read.example(0, "referring_segmentation").words
    assert words["expressions"] == ("where is the café?",)


def test_broken_annotations_are_bad_records(tmp_path):
    read = _write(tmp_path, [_square(1, 2)], ("",))
    with pytest.raises(source.BadRecord, match=r"text ''"):
        read.example(0, "referring_segmentation")
    (tmp_path / "val" / "a.json").write_text('{"text": ["x"]')
    with pytest.raises(source.BadRecord, match=r"a\.json is no JSON, it may be half-downloaded"):
        read.example(0, "referring_segmentation")
    (tmp_path / "val" / "a.json").unlink()
    with pytest.raises(source.BadRecord, match=r"missing file"):
        reasonseg.reasonseg(str(tmp_path)).example(0, "referring_segmentation")


def test_labels_are_read_in_any_case_and_with_more_words():
    shapes = [_square(0, 6, "Flag"), _square(1, 2, "Ignore this"), _square(4, 5)]
    mask = reasonseg.paint(shapes, (7, 8))
    expected = np.zeros((7, 8), int)
    expected[1:3, 1:3], expected[4:6, 4:6] = reasonseg.IGNORED, reasonseg.TARGET
    assert mask.tolist() == expected.tolist()


def test_a_polygon_that_is_none_is_a_bad_record(tmp_path):
    for points in ([], [1, 2], [[1, 2, 3]]):
        read = _write(tmp_path, [{"label": "target", "points": points}])
        with pytest.raises(source.BadRecord, match=r"it must be \(N, 2\)"):
            read.example(0, "referring_segmentation")
    read = _write(tmp_path, [{**_square(1, 2), "label": 3}])
    with pytest.raises(source.BadRecord, match=r"damaged file: AttributeError"):
        read.example(0, "referring_segmentation")


@pytest.mark.parametrize(
    "place", [[float("nan"), 3], [1e20, 5], [-1e9, 2], [3, float("inf")], [3, 16.5]]
)
def test_a_polygon_that_lies_nowhere_is_a_bad_record(tmp_path, place):
    read = _write(tmp_path, [{"label": "target", "points": [[0, 0], place, [5, 5]]}])
    with pytest.raises(source.BadRecord, match=r"may lie far outside of a picture of"):
        read.example(0, "referring_segmentation")


def test_a_polygon_may_leave_the_picture_a_little():
    drawn = reasonseg.paint([{"label": "target", "points": [[-3, -3], [15, -3], [-3, 15]]}], (7, 8))
    assert drawn.sum() == 7 * 8 - 1 and drawn[6, 7] == 0  # x + y = 13 is outside
