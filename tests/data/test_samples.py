"""The sample sets' own layouts and encodings, in tiny trees made here, with labels by hand."""

import json

import numpy as np
import pytest
from PIL import Image

from vision_banana.data import samples, source


@pytest.fixture
def dev(tmp_path):
    """Makes a set's folder and writes arrays into it: `dev(folder, name=array, ...)`."""

    def write(folder, files):
        place = tmp_path / folder / "dev"
        for name, array in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(array, list | dict):
                path.write_text(json.dumps(array))
            else:
                Image.fromarray(np.asarray(array)).save(path)
        return str(tmp_path)

    return write


def _grey(height, width):
    return np.full((height, width, 3), 128, np.uint8)


def test_depth_is_millimetres_and_0_is_unknown(dev):
    units = np.array([[0, 1], [1500, 65535]], np.uint16)
    root = dev("tum-rgbd", {"a_rgb.jpg": _grey(2, 2), "a_depth_mm.png": units})
    example = samples.Samples("tum_rgbd", root).example(0, "depth")
    np.testing.assert_allclose(example.label, [[0, 0.001], [1.5, 65.535]], rtol=1e-6)
    assert example.label.dtype == np.float32
    assert example.valid.tolist() == [[False, True], [True, True]]
    assert example.key == "samples/tum_rgbd/a" and example.references[0].shape == (2, 2, 3)


def test_normals_are_right_up_and_towards_the_camera(dev):
    # 255 is +1 and 0 is -1 on each axis; black, of length 1.73, is unknown.
    code = np.array([[[255, 128, 128], [128, 255, 128], [128, 128, 255]],
                     [[0, 128, 128], [0, 0, 0], [128, 230, 204]]], np.uint8)  # fmt: skip
    root = dev(
        "cleargrasp-sample",
        {"syn_a_rgb.jpg": _grey(2, 3), "syn_a_normal.png": code, "real_b_rgb.jpg": _grey(2, 3)},
    )
    read = samples.Samples("cleargrasp", root)
    assert len(read) == 1  # the real ones are another set
    example = read.example(0, "surface_normals")
    expected = [[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[-1, 0, 0], [0, 0, 0], [0, 0.8, 0.6]]]
    np.testing.assert_allclose(example.label, expected, atol=0.006)
    assert example.valid.tolist() == [[True, True, True], [True, False, True]]
    known = example.label[example.valid]
    np.testing.assert_allclose(np.linalg.norm(known, axis=-1), 1, atol=1e-6)


def test_instances_keep_the_stored_numbers(dev):
    ids = np.array([[0, 100], [101, 104]], np.uint8)
    root = dev("cleargrasp-sample", {"syn_a_rgb.jpg": _grey(2, 2), "syn_a_instances.png": ids})
    example = samples.Samples("cleargrasp", root).example(0, "instance_segmentation")
    assert example.label.tolist() == ids.tolist() and example.valid.all()
    assert example.words == {"phrase": "transparent object"}


def test_driving_classes_are_colours_and_a_colour_of_none_is_unknown(dev):
    palette = {"(64, 32, 32)": "road", "(255, 0, 0)": "lane marking"}
    colors = np.array([[[64, 32, 32], [255, 0, 0], [255, 0, 1]]], np.uint8)
    root = dev(
        "comma10k-11",
        {"palette.json": palette, "a_rgb.jpg": _grey(1, 3), "a_labels_rgb.png": colors},
    )
    example = samples.Samples("comma10k", root).example(0, "semantic_segmentation")
    assert example.label.tolist() == [[0, 1, 255]]
    assert example.valid.tolist() == [[True, True, False]]
    words = {"classes": ("road", "lane marking"), "class_ids": (1, 2), "num_classes": 3}
    assert example.words == words


def test_a_pet_is_1_and_the_border_3_is_unknown(dev):
    meta = [{"file": "Abyssinian_1", "breed": "Abyssinian", "species": "cat"}]
    root = dev(
        "oxford-pets-3breeds",
        {
            "meta.json": meta,
            "images/Abyssinian_1.jpg": _grey(1, 3),
            "trimaps/Abyssinian_1.png": np.array([[1, 2, 3]], np.uint8),
        },
    )
    read = samples.Samples("pets", root)
    example = read.example(0, "referring_segmentation")
    assert example.label.tolist() == [[[True, False, False]]]
    assert example.valid.tolist() == [[True, True, False]]
    assert example.words == {"expressions": ("the cat",)}


def _polygon(left, top, right, bottom):
    """A rectangle around the pixels left..right, top..bottom; outlines run on their edges."""
    right, bottom = right + 1, bottom + 1
    return [[left, top, right, top, right, bottom, left, bottom]]


def _annotation(category, segmentation, area, crowd=0):
    return {
        "image_id": 7,
        "category_id": category,
        "segmentation": segmentation,
        "area": area,
        "iscrowd": crowd,
    }


FLICKR = "http://farm4.staticflickr.com/3153/2970773875_164f0c_z.jpg"


def _coco(dev, *annotations):
    images = [{"id": 7, "file_name": "x.jpg", "height": 3, "width": 6, "flickr_url": FLICKR}]
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    table = {"images": images, "categories": categories, "annotations": list(annotations)}
    root = dev("coco-cc", {"instances.json": table, "images/x.jpg": _grey(3, 6)})
    samples._coco_tables.cache_clear()
    return samples.Samples("coco", root)


def test_coco_by_hand(dev):
    # Columns 0-3 person, in front of it column 3 a smaller person; columns 4-5 a car; a crowd of
    # persons in column-wise runs over columns 3 and 4: 9 pixels are not it, 6 are, 3 are not.
    read = _coco(
        dev,
        _annotation(1, _polygon(3, 0, 3, 2), 3),
        _annotation(1, _polygon(0, 0, 3, 2), 12),
        _annotation(3, _polygon(4, 0, 5, 2), 6),
        _annotation(1, {"size": [3, 6], "counts": [9, 6, 3]}, 20, crowd=1),
    )
    one = read.example(0, "instance_segmentation")
    assert one.words == {"phrase": "person"}  # area 15, the car 6; crowds do not count
    assert one.label.tolist() == [[1, 1, 1, 2, 0, 0]] * 3
    # Nobody counted the crowd, but the person in front of it is known.
    assert one.valid.tolist() == [[True, True, True, True, False, True]] * 3
    every = read.example(0, "semantic_segmentation")
    assert every.words["classes"] == ("person", "car") and every.words["class_ids"] == (1, 3)
    assert every.words["num_classes"] == 4
    # The small ones lie in front: the car of the crowd, which counts as larger.
    assert every.label.tolist() == [[0, 0, 0, 0, 1, 1]] * 3
    assert every.valid.all()


def test_the_class_of_the_most_pixels_is_asked_for(dev):
    read = _coco(
        dev,
        _annotation(3, _polygon(0, 0, 1, 2), 6),
        _annotation(1, _polygon(2, 0, 2, 2), 3),
        _annotation(1, _polygon(4, 0, 4, 1), 2),
        _annotation(1, _polygon(5, 0, 5, 2), 90, crowd=1),
    )
    example = read.example(0, "instance_segmentation")
    assert example.words == {"phrase": "car"}
    assert example.label.tolist() == [[1, 1, 0, 0, 0, 0]] * 3 and example.valid.all()
    every = read.example(0, "semantic_segmentation")
    assert every.label[0].tolist() == [1, 1, 0, 255, 0, 0] and every.label[2, 4] == 255


def test_a_damaged_file_is_a_bad_record(dev):
    read = _coco(dev, _annotation(1, _polygon(0, 0, 1, 2), 6))
    (read._folder / "images" / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(source.BadRecord, match="samples/coco/7"):
        read.example(0, "instance_segmentation")


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        ({"image_ids": [8]}, 1),
        ({"image_ids": [7, 8]}, 0),
        ({"image_ids": [8], "photographs": ["2970773875"]}, 0),
    ],
)
def test_pictures_of_coco_that_are_evaluated_are_dropped(dev, tmp_path, listed, left):
    read = _coco(dev, _annotation(1, _polygon(0, 0, 1, 2), 6))
    images = [{"id": 7, "file_name": "x.jpg", "flickr_url": FLICKR}]
    captions = [{"image_id": 7, "caption": "a cup"}] * 2
    dev("coco-cc", {"captions.json": {"images": images, "annotations": captions}})
    assert len(read) == 1 and len(samples.Samples("coco_captions", str(tmp_path))) == 2
    (tmp_path / "evaluated.json").write_text(json.dumps(listed))
    root, evaluated = str(tmp_path), str(tmp_path / "evaluated.json")
    assert len(samples.Samples("coco", root, evaluated=evaluated)) == left
    assert len(samples.Samples("coco_captions", root, evaluated=evaluated)) == 2 * left
    with pytest.raises(ValueError, match="held out is evaluated: drop evaluated"):
        samples.Samples("coco", root, "heldout", evaluated)
    with pytest.raises(ValueError, match=r"pets takes no evaluated="):
        samples.Samples("pets", root, evaluated=evaluated)
    with pytest.raises(ValueError, match=r"none\.json' is not there"):
        samples.Samples("coco", root, evaluated="none.json")


def test_normals_a_tenth_off_unit_length_are_unknown(dev):
    # 229 is 0.796, 248 is 0.945, 1 and 1 with the middle channel is 1.414.
    code = np.array([[[229, 128, 128], [248, 128, 128], [255, 255, 128]]], np.uint8)
    root = dev("cleargrasp-sample", {"syn_a_rgb.jpg": _grey(1, 3), "syn_a_normal.png": code})
    example = samples.Samples("cleargrasp", root).example(0, "surface_normals")
    assert example.valid.tolist() == [[False, True, False]]
