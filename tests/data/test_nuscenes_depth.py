import json

import numpy as np
import pytest
from PIL import Image

from vision_banana.data import nuscenes_depth, source

STRAIGHT = [1.0, 0.0, 0.0, 0.0]
LOOKS_AHEAD = [0.5, -0.5, 0.5, -0.5]  # camera x is the car's -y, y its -z, z its x
TURNED_LEFT = [0.5**0.5, 0.0, 0.0, 0.5**0.5]  # by 90 degrees about the vertical
INTRINSICS = [[6.0, 0, 5], [0, 6, 4], [0, 0, 1]]


def _write(root, frames=1, points=((4, 19, -1),)):
    """Val scene 3 with key frames; the car has moved and turned between laser and camera."""
    (root / "v1.0-trainval").mkdir()
    channels = [nuscenes_depth.LIDAR, *nuscenes_depth.CAMERAS]
    shots, poses = [], []
    for n in range(frames):
        for c, channel in enumerate(channels):
            end = "pcd.bin" if c == 0 else "jpg"
            name = f"samples/{channel}/f{n}.{end}"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if c == 0:
                rows = np.zeros((len(points), 5), "<f4")
                rows[:, :3] = points
                rows.tofile(root / name)
            else:
                Image.new("RGB", (10, 8)).save(root / name)
            for key, sample in ((True, f"frame{n}"), (False, f"frame{n}")):
                shots.append(
                    {"sample_token": sample, "is_key_frame": key, "filename": name,
                     "calibrated_sensor_token": f"mount{c}", "ego_pose_token": f"pose{n}/{c}"}
                )  # fmt: skip
                if not key:
                    shots[-1]["filename"] = "sweeps/none"
            poses.append(
                {"token": f"pose{n}/{c}", "translation": [10.0, 0, 0], "rotation": STRAIGHT}
                if c == 0
                else {"token": f"pose{n}/{c}", "translation": [11.0, 0, 0], "rotation": TURNED_LEFT}
            )
    backwards = [
        {"token": f"frame{n}", "scene_token": "s3", "timestamp": n} for n in reversed(range(frames))
    ]
    mounts = [
        {
            "token": f"mount{c}",
            "sensor_token": f"sensor{c}",
            "translation": [1.0, 0, 1.5] if c else [0.0, 0, 2],
            "rotation": LOOKS_AHEAD if c else STRAIGHT,
            "camera_intrinsic": INTRINSICS if c else [],
        }
        for c in range(7)
    ]
    tables = {
        "scene": [{"name": "scene-0003", "token": "s3"}, {"name": "scene-0001", "token": "s1"}],
        "sample": [{"token": "train", "scene_token": "s1", "timestamp": 0}, *backwards],
        "sensor": [{"token": f"sensor{c}", "channel": name} for c, name in enumerate(channels)],
        "calibrated_sensor": mounts,
        "sample_data": shots,
        "ego_pose": poses,
    }
    for name, rows in tables.items():
        (root / "v1.0-trainval" / f"{name}.json").write_text(json.dumps(rows, indent=0))
    return root


def test_a_point_ends_as_depth_along_the_axis(tmp_path):
    # Laser (4, 19, -1) -> car (4, 19, 1) -> world (14, 19, 1) -> from the car that has moved to
    # (11, 0, 0) and looks along world y: (19, -3, 1) -> camera: 3 right, 0.5 down, 18 ahead.
    # Its range from the laser is 19.4, which must not be what is read.
    read = nuscenes_depth.nuscenes_depth(str(_write(tmp_path)))
    assert len(read) == 6 and read.key(0) == "nuscenes_depth/val/f0"
    example = read.example(0, "depth")
    assert example.valid.sum() == 1
    assert example.label[4, 6] == pytest.approx(18, abs=1e-5)  # u = 6 * 3 / 18 + 5, v = 4.17


def test_frames_turn_by_hand():
    # A car at (10, 0, 0) that looks along world y: what is 2 m ahead of it and 1 m to its left.
    car = {"translation": [10.0, 0, 0], "rotation": TURNED_LEFT}
    ahead, world = np.array([[2.0, 1.0, 0.5]]), np.array([[9.0, 2.0, 0.5]])
    np.testing.assert_allclose(nuscenes_depth._out(ahead, car), world, atol=1e-12)
    np.testing.assert_allclose(nuscenes_depth._into(world, car), ahead, atol=1e-12)


def test_of_two_points_the_nearer_and_none_at_the_border():
    points = np.array([
        [0, 0, 20.0], [0.01, 0, 7], [0, 0, 0.9],  # the middle; the last is nearer than 1 m
        [-4.0 / 6 * 5, 0, 5], [4.0 / 6 * 5, 0, 5],  # u = 1 and u = 9: on the border
        [0, -4, 8],  # v = 1
        [0, 0, -3],
    ])  # fmt: skip
    depth = nuscenes_depth.project(points, np.array(INTRINSICS), (8, 10))
    assert depth[4, 5] == 7 and (depth > 0).sum() == 1


def test_a_point_lies_on_the_pixel_that_it_is_in():
    # u = 6 * 17/6 / 10 + 5 = 6.7 and v = 6 / 10 + 4 = 4.6 are cut, not rounded.
    point = np.array([[17 / 6, 1, 10]])
    depth = nuscenes_depth.project(point, np.array(INTRINSICS), (8, 10))
    assert np.argwhere(depth).tolist() == [[4, 6]] and depth[4, 6] == 10


def test_every_tenth_key_frame_in_the_order_of_time(tmp_path):
    _write(tmp_path, frames=12)
    read = nuscenes_depth.nuscenes_depth(str(tmp_path))
    assert len(read) == 12
    assert [read.key(i)[-2:] for i in (0, 5, 6)] == ["f0", "f0", "10"]
    assert "CAM_FRONT/" in str(read.files(0, "depth")[0])
    assert len(nuscenes_depth.nuscenes_depth(str(tmp_path), every=1)) == 72


def test_long_tables_are_read_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(nuscenes_depth, "CHUNK", 7)
    path = tmp_path / "t.json"
    rows = [{"a": [1, 2], "b": "x, ]"}, {"a": []}, {"c": {"d": None}}]
    path.write_text(json.dumps(rows, indent=1))
    assert list(nuscenes_depth.rows(path)) == rows
    path.write_text("[]")
    assert list(nuscenes_depth.rows(path)) == []
    path.write_text(json.dumps(rows)[:-3])
    with pytest.raises(ValueError, match=r"t\.json ends too early"):
        list(nuscenes_depth.rows(path))


def test_damaged_points_and_tables(tmp_path):
    read = nuscenes_depth.nuscenes_depth(str(_write(tmp_path)))
    path = tmp_path / "samples/LIDAR_TOP/f0.pcd.bin"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(source.BadRecord, match=r"has 16 bytes, no multiple of a point's 20"):
        read.example(0, "depth")
    (tmp_path / "v1.0-trainval" / "ego_pose.json").write_text("[]")
    with pytest.raises(ValueError, match=r"ego_pose\.json lacks pose0/"):
        nuscenes_depth.nuscenes_depth(str(tmp_path))


def test_a_row_of_another_form_names_its_table(tmp_path):
    path = tmp_path / "sensor.json"
    for text in ("[3]", '[{"token": "a"}]'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"sensor\.json has .*it needs token, channel"):
            list(nuscenes_depth.rows(path, "token", "channel"))
