import csv
import math
import sys

import numpy as np
import picture_files
import pytest

from vision_banana.data import hypersim, on_disk, source

h5py = pytest.importorskip("h5py")

# 60 degrees across, square pixels: tan 30 = 0.57735 to the sides, half of it up and down.
PLAIN = (1 / math.sqrt(3), 0, 0, 0, 0.5 / math.sqrt(3), 0, 0, 0, -1)
SHIFTED = (1.0, 0, 0.25, 0.5, 1.0, 0, 0, 0, -2.0)  # and turned: x = u + 1/4, y = u / 2 + v
FRAMES = [
    ("ai_001_001", "cam_00", 0, "True", "train"),
    ("ai_001_001", "cam_01", 12, "True", "val"),
    ("ai_001_001", "cam_00", 3, "False", "train"),
    ("ai_002_001", "cam_00", 7, "True", "train"),
    ("ai_003_001", "cam_00", 7, "True", "train"),  # not fetched
]


def _store(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["dataset"] = array.astype(np.float16)


def _tree(root):
    with (root / "metadata_images_split_scene_v1.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scene_name", "camera_name", "frame_id", "included_in_public_release",
                         "exclude_reason", "split_partition_name"])  # fmt: skip
        writer.writerows([*frame[:4], "", frame[4]] for frame in FRAMES)
    with (root / "metadata_camera_parameters.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["scene_name", *(f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3))]
        )
        writer.writerow(["ai_001_001", *PLAIN])
        writer.writerow(["ai_002_001", *SHIFTED])
        writer.writerow(["ai_003_001", *PLAIN])
    for scene, camera, frame, _, _ in FRAMES[:4]:
        images = root / scene / "images"
        name = f"frame.{frame:04d}"
        distance = np.full((2, 4), 2.0)
        distance[1, 3] = np.nan  # no geometry
        _store(images / f"scene_{camera}_geometry_hdf5" / f"{name}.depth_meters.hdf5", distance)
        normals = np.zeros((2, 4, 3))
        normals[0] = [0, 0, 2]  # towards the camera, not of unit length
        normals[1, 0] = [0, 0, -1]  # turned inwards
        normals[1, 1] = [0, 0, 0]
        normals[1, 2] = [0, 1, 0]  # a floor
        normals[1, 3] = np.nan
        _store(images / f"scene_{camera}_geometry_hdf5" / f"{name}.normal_cam.hdf5", normals)
        shown = images / f"scene_{camera}_final_preview" / f"{name}.tonemap.jpg"
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.write_bytes(picture_files.png((9, 9, 9), (4, 2)))


def test_the_records_are_those_of_the_split_whose_scenes_are_there(tmp_path):
    _tree(tmp_path)
    read = hypersim.hypersim(str(tmp_path))
    assert [read.key(i) for i in range(len(read))] == [
        "hypersim/train/ai_001_001/cam_00/frame.0000",
        "hypersim/train/ai_002_001/cam_00/frame.0007",
    ]
    assert len(hypersim.hypersim(str(tmp_path), "val")) == 1


def test_a_reader_of_hdf5_that_is_missing_is_told_at_once(tmp_path, monkeypatch):
    _tree(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"needs h5py: pip install"):
        hypersim.hypersim(str(tmp_path))


def test_what_its_maker_and_users_found_wrong_is_left_out(tmp_path):
    _tree(tmp_path)
    cameras = [
        *("ai_053_001/cam_00", "ai_053_001/cam_01"),
        *("ai_004_009/cam_00", "ai_004_009/cam_01"),
        *("ai_038_007/cam_00", "ai_038_007/cam_01"),
    ]
    with (tmp_path / "metadata_images_split_scene_v1.csv").open("a", newline="") as file:
        rows = ([*camera.split("/"), 5, "True", "", "train"] for camera in cameras)
        csv.writer(file).writerows(rows)
    scenes = {camera.partition("/")[0] for camera in cameras}
    with (tmp_path / "metadata_camera_parameters.csv").open("a", newline="") as file:
        csv.writer(file).writerows([scene, *PLAIN] for scene in scenes)
    for scene in scenes:
        (tmp_path / scene).mkdir()
    read = hypersim.hypersim(str(tmp_path))
    assert [read.key(i) for i in range(2, len(read))] == [
        "hypersim/train/ai_004_009/cam_00/frame.0005",
        "hypersim/train/ai_038_007/cam_01/frame.0005",
    ]


def test_distance_becomes_depth_by_each_scenes_own_rays(tmp_path):
    _tree(tmp_path)
    read = hypersim.hypersim(str(tmp_path))
    example = read.example(0, "depth")
    # Pixel centres lie at u = -3/4, -1/4, 1/4, 3/4 and v = 1/2, -1/2, rays at x = u tan 30 and
    # y = v tan 30 / 2.
    x, y = 0.75 / math.sqrt(3), 0.25 / math.sqrt(3)
    near = 2 / math.sqrt(1 + (x / 3) ** 2 + y**2)
    far = 2 / math.sqrt(1 + x**2 + y**2)
    np.testing.assert_allclose(example.label[0], [far, near, near, far], rtol=1e-5)
    assert example.valid.tolist() == [[True] * 4, [True, True, True, False]]
    assert example.label[1, 3] == 0
    shifted = read.example(1, "depth").label
    # u = -3/4 and v = 1/2 give x = -1/2 and y = 1/8, 2 ahead.
    ray = np.array([-0.5, 0.125, -2.0])
    assert shifted[0, 0] == pytest.approx(2 * 2 / np.linalg.norm(ray), rel=1e-5)


def test_the_first_row_looks_up():
    above, below = hypersim.rays(PLAIN, 2, 4)
    assert (above[:, 1] > 0).all() and (below[:, 1] < 0).all()
    assert (above[:2, 0] < 0).all() and (above[2:, 0] > 0).all() and (above[:, 2] < 0).all()


def test_the_rays_of_a_lens_that_is_shifted_and_turned_by_hand():
    # Row 1, column 2 lies at u = 1/4 and v = -1/2: x = 1/2, y = -3/8, 2 ahead.
    length = math.sqrt(0.25 + 0.140625 + 4)
    expected = [0.5 / length, -0.375 / length, -2 / length]
    np.testing.assert_allclose(hypersim.rays(SHIFTED, 2, 4)[1, 2], expected, rtol=1e-6)


def test_normals_are_scaled_turned_to_the_camera_and_unknown_where_zero(tmp_path):
    _tree(tmp_path)
    example = hypersim.hypersim(str(tmp_path)).example(0, "surface_normals")
    assert example.valid.tolist() == [[True] * 4, [True, False, True, False]]
    assert example.label[0].tolist() == [[0, 0, 1]] * 4
    assert example.label[1].tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_missing_file_is_a_bad_record(tmp_path):
    _tree(tmp_path)
    next(tmp_path.glob("ai_001_001/images/*/frame.0000.depth_meters.hdf5")).unlink()
    read = hypersim.hypersim(str(tmp_path))
    with pytest.raises(source.BadRecord, match=r"ai_001_001/cam_00/frame\.0000"):
        read.example(0, "depth")
    assert read.example(0, "surface_normals").valid.any()


def test_a_distance_of_nothing_or_less_is_unknown(tmp_path):
    _tree(tmp_path)
    path = next(tmp_path.glob("ai_001_001/images/*/frame.0000.depth_meters.hdf5"))
    _store(path, np.array([[2, 0, -2, 2], [2, 2, np.inf, np.nan]]))
    example = hypersim.hypersim(str(tmp_path)).example(0, "depth")
    assert example.valid.tolist() == [[True, False, False, True], [True, True, False, False]]
    assert not example.label[~example.valid].any()


def test_arrays_larger_than_a_picture_are_not_read(tmp_path, monkeypatch):
    _tree(tmp_path)
    monkeypatch.setattr(on_disk.pictures, "MAX_PIXELS", 7)
    for name in ("depth_meters", "normal_cam"):
        path = next(tmp_path.glob(f"ai_001_001/images/*/frame.0000.{name}.hdf5"))
        with pytest.raises(ValueError, match=rf"{name}\.hdf5 has shape \(2, 4.*more than 7 pixels"):
            hypersim._read(path)
    _store(path, np.zeros(4))
    with pytest.raises(ValueError, match=r"has shape \(4,\): it must be a picture's"):
        hypersim._read(path)


def test_a_table_of_another_form_is_named(tmp_path):
    _tree(tmp_path)
    for name in ("metadata_images_split_scene_v1.csv", "metadata_camera_parameters.csv"):
        (tmp_path / name).write_text("scene\nai_001_001\n")
        with pytest.raises(ValueError, match=rf"{name} has not the form.*('scene_name'|M_cam)"):
            hypersim.hypersim(str(tmp_path))
