import json
import logging

import numpy as np
import picture_files
import pytest

from configs import own_pictures
from vision_banana.data import mixture, sources

pytest.importorskip("cv2")


def _folder(root):
    """Two pictures with every truth and one with a caption's worth of nothing."""
    for name in ("a", "deep/b", "unlabelled"):
        picture_files.save(root / "pictures" / f"{name}.png", np.full((2, 3, 3), 51, np.uint8))
    for name in ("a", "deep/b"):
        depth = np.array([[0, 1000, 2000], [3000, 65535, 500]], np.uint16)
        picture_files.save(root / "depth" / f"{name}.png", depth)
        code = np.array([[[0, 0, 0], [255, 128, 128], [128, 255, 128]]] * 2, np.uint8)
        picture_files.save(root / "normals" / f"{name}.png", code)
        picture_files.save(
            root / "classes" / f"{name}.png", np.array([[0, 7, 7], [0, 255, 7]], np.uint8)
        )
        for phrase, value in (("red cup", 1), ("blue cup", 2)):
            mask = np.array([[0, value, 0], [0, 0, 9]], np.uint8)
            picture_files.save(root / "instances" / name / f"{phrase}.png", mask)
            picture_files.save(root / "regions" / name / f"the {phrase}.png", mask)
    (root / "classes.json").write_text(json.dumps({"0": "road", "7": "sky"}))
    return {"name": "labelled_folder", "path": str(root)}


def test_depth_has_the_stated_scale_and_no_default(tmp_path, caplog):
    spec = _folder(tmp_path) | {"tasks": ["depth"]}
    with pytest.raises(ValueError, match=r"metres_per_unit=0\.0: say how many metres"):
        sources.build(spec)
    with caplog.at_level(logging.WARNING):
        read = sources.build(spec | {"metres_per_unit": 0.002})
    assert "1 of 3 pictures have no truth" in caplog.text and "'unlabelled'" in caplog.text
    assert [read.key(i).split("/", 2)[2] for i in range(len(read))] == ["a", "deep/b"]
    example = read.example(1, "depth")
    np.testing.assert_allclose(example.label, [[0, 2, 4], [6, 131.07, 1]], rtol=1e-5)
    assert example.valid.tolist() == [[False, True, True], [True, True, True]]
    np.testing.assert_allclose(example.references[0], 0.2, atol=1e-6)


def test_normals_by_hand_and_with_other_axes(tmp_path):
    spec = _folder(tmp_path) | {"tasks": ["surface_normals"]}
    example = sources.build(spec).example(0, "surface_normals")
    assert example.valid.tolist() == [[False, True, True]] * 2
    np.testing.assert_allclose(example.label[0], [[0, 0, 0], [1, 0, 0], [0, 1, 0]], atol=0.01)
    flipped = sources.build(spec | {"normal_signs": [-1, 1, 1]}).example(0, "surface_normals")
    np.testing.assert_allclose(flipped.label[0, 1], [-1, 0, 0], atol=0.01)
    with pytest.raises(ValueError, match=r"normal_signs=\[1, 1\]"):
        sources.build(spec | {"normal_signs": [1, 1]})
    picture_files.save(tmp_path / "normals" / "a.png", np.full((2, 3, 3), 20, np.uint8))
    with pytest.raises(ValueError, match=r"100% of the normals are far from unit length"):
        sources.build(spec).example(0, "surface_normals")


def test_classes_instances_and_regions(tmp_path):
    tasks = ["semantic_segmentation", "instance_segmentation", "referring_segmentation"]
    read = sources.build(_folder(tmp_path) | {"tasks": tasks})
    assert len(read) == 4  # two phrases of two pictures
    classes = read.example(0, tasks[0])
    assert classes.words["classes"] == ("road", "sky") and classes.words["class_ids"] == (1, 8)
    assert classes.label.tolist() == [[0, 1, 1], [0, 255, 1]]
    assert classes.valid.tolist() == [[True] * 3, [True, False, True]]
    phrases = [read.example(i, tasks[1]).words["phrase"] for i in range(4)]
    assert phrases == ["blue cup", "red cup", "blue cup", "red cup"]
    assert read.example(1, tasks[1]).label.tolist() == [[0, 1, 0], [0, 0, 9]]
    region = read.example(1, tasks[2])
    assert region.words == {"expressions": ("the red cup",)}
    assert region.label.astype(int).tolist() == [[[0, 1, 0], [0, 0, 1]]]


def test_two_pictures_of_one_name_are_named(tmp_path):
    spec = _folder(tmp_path) | {"tasks": ["semantic_segmentation"]}
    picture_files.save(tmp_path / "pictures" / "a.jpg", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(ValueError, match=r"pictures/a\.jpg and \S*/a\.png share the name 'a'"):
        sources.build(spec)


def test_a_folder_that_does_not_fit_is_an_error(tmp_path):
    spec = _folder(tmp_path)
    with pytest.raises(ValueError, match=r"tasks \['colour'\]: choose from"):
        sources.build(spec | {"tasks": ["colour"]})
    picture_files.save(tmp_path / "classes" / "stray.png", np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"classes of 'stray'.*without a picture"):
        sources.build(spec | {"tasks": ["semantic_segmentation"]})
    with pytest.raises(ValueError, match=r"pictures is not a folder"):
        sources.build(spec | {"path": str(tmp_path / "none"), "tasks": ["surface_normals"]})
    (tmp_path / "classes" / "stray.png").unlink()
    picture_files.save(tmp_path / "classes" / "a.png", np.full((2, 3), 3, np.uint8))
    read = sources.build(spec | {"tasks": ["semantic_segmentation"]})
    with pytest.raises(ValueError, match=r"labelled_folder.*/a.*class id 3 has no name"):
        read.example(0, "semantic_segmentation")


def test_it_is_a_row_of_a_mixture(tmp_path):
    tasks = ("depth", "surface_normals", "semantic_segmentation", "instance_segmentation",
             "referring_segmentation")  # fmt: skip
    row = {
        "source": _folder(tmp_path) | {"tasks": tasks, "metres_per_unit": 0.001},
        "tasks": dict.fromkeys(tasks, 1.0),
        "weight": 1.0,
        "references": 1,
        "flip": True,
    }
    group = mixture.Mixture([row], 5, 8, 8, 64, seed=0).group(0, 0)
    assert len(set(group["task"].tolist())) == 5 and group["bad"] == ()
    assert group["target"].shape == (5, 8, 8, 3) and group["weight"].any((1, 2)).all()


def test_its_config_says_what_is_missing_and_then_opens(tmp_path):
    config = own_pictures.get_config("depth+surface_normals")
    spec = config.data.mixture.mine.source
    spec.path = _folder(tmp_path)["path"]
    with pytest.raises(ValueError, match=r"metres_per_unit"):
        sources.build(spec.to_dict())
    spec.metres_per_unit = 0.001
    rows = list(config.to_dict()["data"]["mixture"].values())
    opened = mixture.Mixture(rows, 2, 8, 8, 64, seed=0)
    assert [read.name.split("/")[0] for read in opened.sources] == ["labelled_folder", "scenes"]
    assert opened.sources[0].tasks == ("depth", "surface_normals")


def test_a_few_odd_normals_are_unknown_and_more_an_error(tmp_path):
    spec = _folder(tmp_path) | {"tasks": ["surface_normals"]}
    code = np.full((5, 8, 3), (128, 128, 255), np.uint8)
    code[0, :2] = 200  # of length 0.98, as they should be
    code[1, :2] = 150  # of length 0.31: 2 of 40 are a twentieth
    for name, odd in (("a", 2), ("deep/b", 3)):
        code[1, :odd] = 150
        picture_files.save(tmp_path / "normals" / f"{name}.png", code)
        picture_files.save(tmp_path / "pictures" / f"{name}.png", np.zeros((5, 8, 3), np.uint8))
    read = sources.build(spec)
    valid = read.example(0, "surface_normals").valid
    assert valid.sum() == 38 and not valid[1, :2].any()
    with pytest.raises(ValueError, match=r"8% of the normals are far from unit length"):
        read.example(1, "surface_normals")


def test_a_table_of_classes_of_another_form_is_named(tmp_path):
    spec = _folder(tmp_path) | {"tasks": ["semantic_segmentation"]}
    for text in ('["road"]', '{"road": 0}'):
        (tmp_path / "classes.json").write_text(text)
        with pytest.raises(ValueError, match=r"classes\.json has not the form"):
            sources.build(spec)
