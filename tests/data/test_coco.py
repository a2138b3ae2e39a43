"""COCO's sets, and that none of their pictures is one that is evaluated on."""

import collections
import json
import pickle

import numpy as np
import picture_files
import pytest
from exit_codes import exit_code

from vision_banana.data import coco, evaluated_coco, refcoco, sample_splits, source, sources

FLICKR = "http://farm4.staticflickr.com/3153"
IMAGES = [
    {
        "id": 9,
        "file_name": "000000000009.jpg",
        "flickr_url": f"{FLICKR}/2970773875_164f0c_z.jpg",
    },
    {"id": 25, "file_name": "000000000025.jpg", "flickr_url": f"{FLICKR}/5512345_1a2b3c_z.jpg"},
    {"id": 30, "file_name": "000000000030.jpg", "flickr_url": f"{FLICKR}/77712345_9f_z.jpg"},
    {"id": 34, "file_name": "000000000034.jpg"},
]
SEGMENTS = {  # id, category, crowd
    9: [(1, 1, 0), (256, 1, 0), (65536 + 2, 1, 1), (5, 200, 0)],
    34: [(5, 200, 0)],
}


def _benchmarks(root):
    """RefCOCOg whose val is picture 25, and ReasonSeg with a photograph from Flickr."""
    refs = [
        {"image_id": 9, "split": "train"}, {"image_id": 25, "split": "val"},
        {"image_id": 34000, "split": "test"},
    ]  # fmt: skip
    (root / "refcocog").mkdir()
    (root / "refcocog" / "refs(umd).p").write_bytes(pickle.dumps(refs, protocol=2))
    for name in ("val/77712345_c2ba2b3d10_o.jpg", "val/scene0012.jpg", "train/2970773875_1a_o.jpg",
                 "test/COCO_train2014_000000000040.jpg"):  # fmt: skip
        (root / "reasonseg" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "reasonseg" / name).touch()
    asked = ["--refcocog", str(root), "--reasonseg", str(root / "reasonseg")]
    assert exit_code(evaluated_coco.main, [*asked, "--output", str(root / "evaluated.json")]) == 0
    return str(root / "evaluated.json")


def _tree(root, more=()):
    for image in IMAGES:
        path = root / "train2017" / image["file_name"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture_files.png((9, 9, 9), (3, 2)))
    annotations = []
    for image in IMAGES:
        name = image["file_name"].replace("jpg", "png")
        listed = SEGMENTS.get(image["id"], SEGMENTS[9])
        info = [{"id": i, "category_id": c, "iscrowd": crowd} for i, c, crowd in listed]
        annotations.append(
            {"image_id": image["id"], "file_name": name, "segments_info": info}
        )  # fmt: skip
        # Rows: person 1, person 256 (green 1), crowd 65538 (blue 1, red 2); void, wall, wall.
        code = [[[1, 0, 0], [0, 1, 0], [2, 0, 1]], [[0, 0, 0], [5, 0, 0], [5, 0, 0]]]
        if image["id"] == 34:
            code = [[[5, 0, 0]] * 3] * 2
        picture_files.save(root / "annotations/panoptic_train2017" / name, np.uint8(code))
    categories = [
        {"id": 1, "name": "person", "isthing": 1}, {"id": 200, "name": "wall-brick", "isthing": 0}
    ]  # fmt: skip
    table = {
        "images": IMAGES,
        "annotations": annotations,
        "categories": [*categories, *more],
    }
    (root / "annotations/panoptic_train2017.json").write_text(json.dumps(table))
    captions = [
        {"id": 100 * image["id"] + i, "image_id": image["id"], "caption": f" caption {i} "}
        for image in IMAGES
        for i in range(2)
    ]
    table = {"images": IMAGES, "annotations": captions}
    (root / "annotations/captions_train2017.json").write_text(json.dumps(table))


def test_the_list_of_evaluated_pictures(tmp_path, capsys):
    listed = evaluated_coco.load(_benchmarks(tmp_path))
    assert listed.image_ids == {25, 34000, 40} | sample_splits.HELD_OUT_COCO
    assert listed.photographs == {"77712345"}
    assert "3 ids of COCO, 1 photographs" in capsys.readouterr().out
    assert [listed.has(image) for image in IMAGES] == [False, True, True, False]
    asked = ["--refcocog", str(tmp_path / "x"), "--reasonseg", "y", "--output", "z"]
    assert exit_code(evaluated_coco.main, asked) == 2
    assert "refs(umd).p is missing" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["coco_panoptic", "coco_captions", "refcoco"])
def test_no_source_made_from_coco_opens_without_the_list(tmp_path, name):
    more = {"dataset": "refcoco"} if name == "refcoco" else {}
    with pytest.raises(ValueError, match=r"missing.*'evaluated'"):
        sources.build({"name": name, "root": str(tmp_path), **more})
    lists = {"none.json": None, "empty.json": '{"image_ids": []}', "bad.json": "["}
    for file, text in lists.items():
        if text is not None:
            (tmp_path / file).write_text(text)
        with pytest.raises(ValueError, match=file):
            sources.build(
                {"name": name, "root": str(tmp_path), "evaluated": str(tmp_path / file), **more}
            )


def test_panoptic_classes_and_instances_by_hand(tmp_path):
    listed = _benchmarks(tmp_path)
    _tree(tmp_path)
    read = coco.coco_panoptic(str(tmp_path), listed)
    # 25 and 30 are evaluated on, 34 has nothing that can be counted.
    assert [read.key(i) for i in range(len(read))] == ["coco_panoptic/train2017/9"]
    classes = read.example(0, "semantic_segmentation")
    assert classes.words["classes"] == ("brick wall", "person")
    assert classes.words["class_ids"] == (200, 1)
    assert classes.label.tolist() == [[1, 1, 1], [255, 0, 0]]
    assert classes.valid.tolist() == [[True] * 3, [False, True, True]]
    people = read.example(0, "instance_segmentation")
    assert people.words == {"phrase": "person"}
    assert people.label.tolist() == [[1, 2, 0], [0, 0, 0]]
    assert people.valid.tolist() == [[True, True, False], [False, True, True]]


def test_a_share_of_the_questions_is_about_things_that_are_not_there(tmp_path):
    listed = _benchmarks(tmp_path)
    more = [{"id": 3, "name": "car", "isthing": 1}, {"id": 201, "name": "sky", "isthing": 0}]
    _tree(tmp_path, more)
    for absent, phrase in ((0.0, "person"), (1.0, "car")):
        read = coco.coco_panoptic(str(tmp_path), listed, absent=absent)
        example = read.example(0, "instance_segmentation")
        assert example.words == {"phrase": phrase}
        assert example.label.any() == (phrase == "person")
    assert example.valid.tolist() == [[True] * 3, [False, True, True]]  # no car in the crowd
    classes = read.example(0, "semantic_segmentation").words["classes"]
    assert classes == ("brick wall", "car", "person", "sky")
    asked = collections.Counter()
    opened = coco.coco_panoptic(str(tmp_path), listed)
    for i in range(500):
        record = opened._records[0]._replace(name=str(i))
        asked[coco._instances(record, 0.1)[2]["phrase"]] += 1
    assert asked["car"] + asked["person"] == 500 and 30 <= asked["car"] <= 70


def test_tables_of_another_form_are_named(tmp_path):
    listed = _benchmarks(tmp_path)
    _tree(tmp_path)
    for kind, opened in (("panoptic", coco.coco_panoptic), ("captions", coco.coco_captions)):
        (tmp_path / f"annotations/{kind}_train2017.json").write_text("{}")
        with pytest.raises(ValueError, match=rf"{kind}_train2017\.json has not the form.*'images'"):
            opened(str(tmp_path), listed)


def test_a_segment_that_nobody_listed_is_a_bad_record(tmp_path):
    listed = _benchmarks(tmp_path)
    _tree(tmp_path)
    path = tmp_path / "annotations/panoptic_train2017/000000000009.png"
    picture_files.save(path, np.full((2, 3, 3), 7, np.uint8))
    with pytest.raises(source.BadRecord, match=r"segment 460551"):  # 7 (1 + 256 + 65536)
        coco.coco_panoptic(str(tmp_path), listed).example(0, "semantic_segmentation")


def test_names_that_people_would_say():
    said = {
        "tree-merged": "tree",
        "wall-other-merged": "wall",
        "floor-wood": "wood floor",
        "window-blind": "window blind",
        "door-stuff": "door",
        "dining table": "dining table",
    }
    assert {name: coco._plain(name) for name in said} == said  # fmt: skip


def test_captions_are_drawn_without_seeing_the_picture(tmp_path):
    listed = _benchmarks(tmp_path)
    _tree(tmp_path)
    read = coco.coco_captions(str(tmp_path), listed)
    keys = [read.key(i) for i in range(len(read))]
    assert keys == [
        f"coco_captions/train2017/{i}" for i in ("9/900", "9/901", "34/3400", "34/3401")
    ]
    example = read.example(1, "image_generation")
    assert example.words == {"caption": "caption 1", "objects": (), "relations": ()}
    assert example.references == () and example.label.shape == (2, 3, 3)


@pytest.mark.parametrize("dataset", refcoco.DATASETS)
def test_refcoco_trains_on_what_is_not_evaluated(tmp_path, dataset):
    pytest.importorskip("pycocotools")
    listed = _benchmarks(tmp_path)
    refs, annotations = [], []
    shown = tmp_path / "images/mscoco/images/train2014"
    shown.mkdir(parents=True)
    for image in IMAGES:
        (shown / image["file_name"]).write_bytes(picture_files.png((9, 9, 9), (5, 4)))
        outline = [[1, 1, 3, 1, 3, 3, 1, 3]]
        annotations.append({"id": image["id"], "segmentation": outline})
        for split in ("train", "val"):
            refs.append({
                "ref_id": image["id"], "ann_id": image["id"], "image_id": image["id"],
                "split": split, "sentences": [{"sent": f"Left {split}", "sent_id": 1}],
            })  # fmt: skip
    (tmp_path / dataset).mkdir()
    (tmp_path / dataset / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    tables = {"images": IMAGES, "annotations": annotations}
    (tmp_path / dataset / "instances.json").write_text(json.dumps(tables))
    read = refcoco.refcoco(str(tmp_path), dataset, listed)
    assert [read.key(i) for i in range(len(read))] == [f"{dataset}/train/{i}/1" for i in (9, 34)]
    example = read.example(0, "referring_segmentation")
    assert example.words == {"expressions": ("left train",)}
    assert example.label[0].sum() == 4 and example.label[0, 1:3, 1:3].all()
    with pytest.raises(ValueError, match=r"unknown set 'refcocog'"):
        refcoco.refcoco(str(tmp_path), "refcocog", listed)
