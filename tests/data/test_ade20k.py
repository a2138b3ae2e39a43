import numpy as np
import picture_files
import pytest

from vision_banana.data import ade20k, source


def _tree(root, ids):
    (root / "objectInfo150.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n"
        "1\t0.1576\t11664\t1172\t1\twall\n"
        "2\t0.1072\t6046\t612\t1\tbuilding, edifice\n"
        "3\t0.0878\t8265\t796\t1\tsky\n"
    )
    picture_files.save(root / "annotations/training/ADE_train_00000002.png", ids)
    shown = root / "images/training/ADE_train_00000002.jpg"
    shown.parent.mkdir(parents=True)
    shown.write_bytes(picture_files.png((1, 2, 3), (3, 2)))


def test_zero_is_unknown_and_classes_have_their_first_names(tmp_path):
    _tree(tmp_path, np.array([[0, 2, 2], [3, 3, 0]], np.uint8))
    example = ade20k.ade20k(str(tmp_path)).example(0, "semantic_segmentation")
    assert example.words["classes"] == ("building", "sky") and example.words["class_ids"] == (2, 3)
    assert example.label.tolist() == [[255, 0, 0], [1, 1, 255]]
    assert example.valid.tolist() == [[False, True, True], [True, True, False]]
    one = ade20k.ade20k(str(tmp_path), max_classes=1).example(0, "semantic_segmentation")
    assert len(one.words["classes"]) == 1 and one.valid.sum() == 4


def test_an_unknown_id_is_a_bad_record(tmp_path):
    _tree(tmp_path, np.full((2, 3), 151, np.uint8))
    with pytest.raises(source.BadRecord, match=r"class id 151 has no name; the ids are 1 \.\. 3"):
        ade20k.ade20k(str(tmp_path)).example(0, "semantic_segmentation")
