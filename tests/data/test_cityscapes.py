import numpy as np
import pytest
from cityscapesscripts.helpers import labels
from PIL import Image

from vision_banana.data import cityscapes, source


def _write(root, name, ids):
    ids = np.asarray(ids, np.uint8)
    city = name.split("_")[0]
    for part, end in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
        folder = root / part / "val" / city
        folder.mkdir(parents=True, exist_ok=True)
        picture = ids if part == "gtFine" else np.zeros((*ids.shape, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{name}_{end}.png")


def test_the_classes_are_those_of_cityscapes_scripts():
    scored = sorted((x.trainId, x.id, x.name) for x in labels.labels if not x.ignoreInEval)
    assert [(i, *item) for i, item in enumerate(cityscapes.CLASSES.items())] == scored
    assert max(x.id for x in labels.labels) == cityscapes.LAST_ID


def test_original_ids_become_train_ids(tmp_path):
    _write(tmp_path, "ulm_000001_000019", [[7, 8, 11, 12], [0, 26, 33, 29]])
    _write(tmp_path, "aachen_000000_000019", [[31, 30, 28, 4]])
    read = cityscapes.cityscapes(str(tmp_path))
    assert len(read) == 2 and read.key(0) == "cityscapes/val/aachen/aachen_000000_000019"
    second = read.example(1, "semantic_segmentation")
    assert second.label.tolist() == [[0, 1, 2, 3], [255, 13, 18, 255]]
    assert second.valid.tolist() == [[True] * 4, [False, True, True, False]]
    assert read.example(0, "semantic_segmentation").label.tolist() == [[16, 255, 15, 255]]
    names = second.words["classes"]
    assert len(names) == 19
    assert [names[i] for i in (0, 6, 10, 11, 13, 18)] == [
        "road", "traffic light", "sky", "person", "car", "bicycle"
    ]  # fmt: skip


def test_ids_outside_the_table_are_named(tmp_path):
    _write(tmp_path, "ulm_000001_000019", [[7, 7], [7, 77]])
    read = cityscapes.cityscapes(str(tmp_path))
    with pytest.raises(source.BadRecord, match=r"id 77 at row 1, column 1.*0 \.\. 33"):
        read.example(0, "semantic_segmentation")


def test_a_half_of_a_record_is_still_counted(tmp_path):
    _write(tmp_path, "ulm_000001_000019", [[7]])
    _write(tmp_path, "ulm_000002_000019", [[7]])
    (tmp_path / "leftImg8bit/val/ulm/ulm_000001_000019_leftImg8bit.png").unlink()
    (tmp_path / "gtFine/val/ulm/ulm_000002_000019_gtFine_labelIds.png").unlink()
    read = cityscapes.cityscapes(str(tmp_path))
    assert len(read) == 2
    for index in range(2):
        with pytest.raises(source.BadRecord, match=r"missing file"):
            read.example(index, "semantic_segmentation")
