"""Typed answers: how they show and save themselves, by hand-made answers."""

import io
import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vision_banana.api import answers, saving
from vision_banana.evaluation import saved
from vision_banana.evaluation.own_pictures import Reply
from vision_banana.evaluation.questions import Question
from vision_banana.tasks import TASKS

SHOWN = np.arange(2 * 3 * 3, dtype=np.float32).reshape(2, 3, 3) / 18
INF = np.inf


def answer(task, prompt="asked", **read):
    """A (2, 3) answer of a task, with what it reads."""
    batch = {name: value[None] if isinstance(value, np.ndarray) else [value]
             for name, value in read.items()}  # fmt: skip
    batch["confidence"] = np.full((1, 2, 3), 0.5, np.float32)
    picture = np.asarray(TASKS[task].picture(batch, 0))
    reply = Reply(Question(task, prompt), np.zeros((2, 3, 3), np.float32), batch, picture, seed=4)
    return answers.typed(reply, [SHOWN], 1)


DEPTH = answer("depth", depth=np.array([[1.5, 2, 65.535], [70, INF, 0.0004]], np.float32))
LEGEND = {"cat": (255, 0, 0), "dog": (0, 0, 255), "background": (0, 0, 0)}
LABELS = answer(
    "semantic_segmentation", labels=np.array([[0, 0, 1], [255, 0, 1]], np.int32),
    names=("cat", "dog"), legends=LEGEND,
)  # fmt: skip
IDS = answer("instance_segmentation", ids=np.array([[0, 2, 2], [1, 0, 2]], np.int32))
KINDS = answer(
    "instance_segmentation", ids=np.array([[0, 2, 2], [1, 0, 3]], np.int32),
    names=("cat", "dog", "cat"),
)  # fmt: skip
REGIONS = answer(
    "referring_segmentation", names=("cat", "dog"), legends=LEGEND,
    masks=np.array([[[0, 0, 0], [0, 0, 0]], [[1, 1, 0], [0, 0, 0]]], bool),
)  # fmt: skip
NORMALS = answer("surface_normals", normals=np.tile(np.float32([0, 0, 1]), (2, 3, 1)))
PICTURE = answer("image_editing", rgb=SHOWN)
ALL = (DEPTH, LABELS, IDS, KINDS, REGIONS, NORMALS, PICTURE)


@pytest.mark.parametrize("one", ALL, ids=lambda x: type(x).__name__)
def test_arrays_and_origin_are_saved(one, tmp_path):
    path = one.save(tmp_path / "answer.npz")
    kept = np.load(path)  # which refuses pickles
    assert (str(kept["task"]), str(kept["prompt"])) == (one.task, "asked")
    assert (int(kept["seed"]), int(kept["steps"])) == (4, 1)
    np.testing.assert_array_equal(kept["confidence"], np.full((2, 3), 0.5))
    for field in answers.TYPES[one.task][1]:
        np.testing.assert_array_equal(kept[field], getattr(one, field))
    assert [x.name for x in tmp_path.iterdir()] == ["answer.npz"]


def test_arrays_have_the_answers_names_and_no_others(monkeypatch):
    given = []
    monkeypatch.setattr(np, "savez_compressed", lambda file, **arrays: given.append(set(arrays)))
    saved.npz(DEPTH.arrays())
    # NumPy 2.0 takes every keyword, `allow_pickle` too, for one more array.
    assert given == [{"depth_m", "confidence", "task", "prompt", "seed", "steps", "votes"}]
    with pytest.raises(ValueError, match="'odd' holds objects"):
        saved.npz({"odd": np.array([None])})


def test_a_file_that_is_not_finished_leaves_the_one_before(tmp_path, monkeypatch):
    path = DEPTH.save(tmp_path / "cloud.ply")
    before = path.read_bytes()

    def stop(file, data):
        file.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "write_bytes", stop)
    with pytest.raises(KeyboardInterrupt):
        DEPTH.save(path, 90)
    assert path.read_bytes() == before
    assert [x.name for x in tmp_path.iterdir()] == ["cloud.ply"]


@pytest.mark.parametrize("fov", ["x", None])
def test_a_field_of_view_is_a_number(tmp_path, fov):
    for ask in (DEPTH.points, lambda wrong: DEPTH.save(tmp_path / "b.ply", wrong)):
        with pytest.raises(ValueError, match=f"fov_degrees is {fov!r}; it must be a number"):
            ask(fov)


@pytest.mark.parametrize("one", ALL, ids=lambda x: type(x).__name__)
def test_a_notebook_shows_the_answer(one):
    shown = np.asarray(Image.open(io.BytesIO(one._repr_png_())))
    np.testing.assert_array_equal(shown, one.figure())
    assert shown.shape[1] >= 420
    assert len(repr(one)) < 200 and repr(one).startswith(f"{type(one).__name__}(3 x 2, 'asked'")


@pytest.mark.parametrize(
    ("one", "levels"),
    [
        (DEPTH, [[1500, 2000, 65535], [0, 0, 0]]),
        (LABELS, [[0, 0, 1], [255, 0, 1]]),
        (IDS, [[0, 2, 2], [1, 0, 2]]),
        (REGIONS, [[2, 2, 0], [0, 0, 0]]),
    ],
)
def test_sixteen_bit_pictures(one, levels, tmp_path):
    picture = Image.open(one.save(tmp_path / "answer.png"))
    assert picture.mode == "I;16"
    assert np.asarray(picture).tolist() == levels


def test_colour_pictures(tmp_path):
    drawn = np.asarray(Image.open(PICTURE.save(tmp_path / "edit.png")))
    np.testing.assert_array_equal(drawn, np.rint(SHOWN * 255))
    normals = np.asarray(Image.open(NORMALS.save(tmp_path / "normals.png")))
    assert normals[0, 0].tolist() == [128, 128, 255]  # towards the camera is light blue


def test_millimetres_by_hand():
    metres = np.array([[0.0015, 1.2344, 65.535, 65.536, np.inf, np.nan, 0.0]])
    assert saving.millimetres(metres).tolist() == [[2, 1234, 65535, 0, 0, 0, 0]]
    assert saving.millimetres(metres).dtype == np.uint16


def test_run_lengths_by_hand():
    # Down the columns: 0 1 | 1 1 | 0 0, and a mask that begins with a one.
    assert saving.run_lengths(np.array([[0, 1, 0], [1, 1, 0]], bool)) == [1, 3, 2]
    assert saving.run_lengths(np.array([[1, 0], [0, 1]], bool)) == [0, 1, 2, 1]
    assert saving.run_lengths(np.zeros((2, 2), bool)) == [4]


def test_coco(tmp_path):
    data = json.loads(IDS.save(tmp_path / "ids.json").read_text())
    assert data["images"] == [{"id": 1, "height": 2, "width": 3}]
    assert data["categories"] == [{"id": 1, "name": "instance"}]
    first, second = data["annotations"]
    assert first["segmentation"] == {"size": [2, 3], "counts": [1, 1, 4]}
    assert (first["area"], first["bbox"]) == (1, [0, 1, 1, 1])
    assert second["segmentation"]["counts"] == [2, 1, 1, 2]
    assert (second["area"], second["bbox"]) == (3, [1, 0, 2, 2])
    regions = json.loads(REGIONS.save(tmp_path / "regions.json").read_text())
    assert [x["category_id"] for x in regions["annotations"]] == [2]  # the cat is nowhere
    assert [x["name"] for x in regions["categories"]] == ["cat", "dog"]
    kinds = json.loads(KINDS.save(tmp_path / "kinds.json").read_text())
    assert [x["name"] for x in kinds["categories"]] == ["cat", "dog"]
    assert [x["category_id"] for x in kinds["annotations"]] == [1, 2, 1]
    labels = json.loads(LABELS.save(tmp_path / "labels.json").read_text())
    assert [x["area"] for x in labels["annotations"]] == [3, 2]


def test_coco_is_read_by_its_own_library(tmp_path):
    library = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    read = library.COCO(str(IDS.save(tmp_path / "ids.json")))
    for number in (1, 2):
        np.testing.assert_array_equal(read.annToMask(read.anns[number]), IDS.ids == number)


def test_point_clouds(tmp_path):
    content = DEPTH.save(tmp_path / "cloud.ply", fov_degrees=90).read_bytes()
    assert content.startswith(b"ply\n") and b"element vertex 5\n" in content  # not the sky
    # 90 degrees over 3 pixels: focal length 1.5; the first pixel is 1 left and 0.5 up of centre.
    first = np.frombuffer(content.partition(b"end_header\n")[2][:12], "<f4")
    np.testing.assert_allclose(first, [-1.5 / 1.5, 0.5 * 1.5 / 1.5, -1.5], rtol=1e-6)
    trimesh = pytest.importorskip("trimesh", reason="the extra `clouds` is not installed")
    path = DEPTH.save(tmp_path / "cloud.glb", fov_degrees=90)
    (cloud,) = trimesh.load(str(path)).geometry.values()
    points = DEPTH.points(90)
    np.testing.assert_allclose(cloud.vertices, points[np.isfinite(points).all(1)], rtol=1e-6)


@pytest.mark.parametrize("ending", ["ply", "glb"])
def test_a_cloud_needs_a_point_and_a_number_of_them(tmp_path, ending):
    sky = answer("depth", depth=np.full((2, 3), INF, np.float32))
    with pytest.raises(ValueError, match="no point to save: everything is infinitely far"):
        sky.save(tmp_path / f"cloud.{ending}")
    for most in (-1, 0.5, None):
        with pytest.raises(ValueError, match=f"most is {most}; it must be a whole number of 0"):
            DEPTH.save(tmp_path / f"cloud.{ending}", most=most)
    assert not list(tmp_path.iterdir())


def test_glb_colours_are_linear_light():
    trimesh = pytest.importorskip("trimesh", reason="the extra `clouds` is not installed")
    content = saving.glb(np.zeros((3, 3)), np.float32([[0.5, 0.02, 1], [0] * 3, [1] * 3]))
    (cloud,) = trimesh.load(io.BytesIO(content), file_type="glb").geometry.values()
    # ((0.5 + 0.055) / 1.055)^2.4 = 0.2140 and 0.02 / 12.92 = 0.0015, of 255
    assert cloud.colors[:, :3].tolist() == [[55, 0, 255], [0, 0, 0], [255, 255, 255]]


def test_another_ending_lists_those_that_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of \.npz, \.png, \.ply, \.glb"):
        DEPTH.save(tmp_path / "depth.tiff")
    with pytest.raises(ValueError, match=r"\.npz, \.png for"):
        PICTURE.save(tmp_path / "picture.ply")


def test_all_arrays_may_be_written_to():
    fixed = np.ones((2, 3), np.float32)
    fixed.flags.writeable = False
    read = {"depth": fixed[None], "confidence": jnp.ones((1, 2, 3))}
    rgb = np.broadcast_to(fixed[..., None], (2, 3, 3))
    one = answers.typed(Reply(Question("depth", "asked"), rgb, read, rgb), [rgb], 1)
    for array in (one.depth_m, one.confidence, one.drawn, one.picture, one.shown[0],
                  one.reply.answer["depth"]):  # fmt: skip
        array[...] = 2
    assert (fixed == 1).all() and one.arrays()["depth_m"].tolist() == [[2, 2, 2]] * 2


def test_an_answer_does_not_change():
    with pytest.raises(AttributeError):
        DEPTH.depth_m = None


def test_a_cloud_is_thinned_by_rows_and_columns(tmp_path):
    depth_m = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    made = answer("depth", depth=depth_m)
    found = []
    for most in (0, 6, 5, 1):  # strides 1, 1, 2 and 3
        data = made.save(tmp_path / "cloud.ply", 90, most=most).read_bytes()
        rows = np.frombuffer(data.split(b"end_header\n")[1], "<f4, <f4, <f4, 3u1")
        found.append((-rows["f2"]).tolist())
    assert found == [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], [1, 3], [1]]


def test_instances_of_several_phrases_are_counted_by_phrase():
    assert "3 instances (2 x cat, 1 x dog)" in repr(KINDS)
    assert KINDS.names == ("cat", "dog", "cat") and IDS.names == ()
