"""nuScenes val: six cameras of 900 x 1600, with the laser's points as sparse depth.

Where to get it: `v1.0-trainval` (metadata and the ten parts with key frames) from
https://www.nuscenes.org after registration. Licence: CC BY-NC-SA 4.0.

Expected tree:

    ROOT/v1.0-trainval/{scene,sample,sample_data,calibrated_sensor,ego_pose,sensor}.json
    ROOT/samples/CAM_FRONT/NAME.jpg (and five more cameras)
    ROOT/samples/LIDAR_TOP/NAME.pcd.bin     float32 (N, 5): x, y, z in the laser's frame, ...

The laser stores points, not depth. They are moved from the laser to the car at the laser's time,
to the world, to the car at the camera's time, and to the camera, as the devkit's
`map_pointcloud_to_image` does; z there is depth along the optical axis, in metres. Kept are points
more than 1 m in front and more than 1 pixel inside the picture; of several on one pixel the
nearest.

UniK3D and UniDepth score a tenth of the val pictures, 6 of every 60 entries of a list that was not
released; here every tenth key frame is taken, in the order of the scenes and of time, with its six
cameras. The val scenes are the devkit's (utils/splits.py, Apache-2.0).
"""

import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.spatial import transform

from vision_banana.data import on_disk

CAMERAS = (
    "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT",
)  # fmt: skip
LIDAR = "LIDAR_TOP"
VAL_SCENES = pathlib.Path(__file__).with_name("nuscenes_val.json")
NEAREST_M = 1.0
BORDER = 1  # pixels
POINT_BYTES = 20  # five float32
# What is read of a row of sample_data.json.
SHOT = ("is_key_frame", "sample_token", "calibrated_sensor_token", "ego_pose_token", "filename")
CHUNK = 1 << 22  # bytes of text read at once


def nuscenes_depth(root: str, every: int = 10) -> on_disk.OnDisk:
    """Metric depth on every `every`-th key frame of val."""
    meta = on_disk.folder(root, "v1.0-trainval")
    on_disk.folder(root, "samples")
    frames = _key_frames(meta)[::every]
    kept = set(frames)
    sensors = {
        row["token"]: row["channel"] for row in rows(meta / "sensor.json", "token", "channel")
    }
    placing = ("token", "translation", "rotation")
    mounted = rows(meta / "calibrated_sensor.json", *placing, "sensor_token", "camera_intrinsic")
    mounts = {row["token"]: row for row in mounted}
    shots: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows(meta / "sample_data.json", *SHOT):
        if row["is_key_frame"] and row["sample_token"] in kept:
            channel = sensors[mounts[row["calibrated_sensor_token"]]["sensor_token"]]
            shots[row["sample_token"], channel] = row
    asked = {row["ego_pose_token"] for row in shots.values()}
    posed = rows(meta / "ego_pose.json", *placing)
    poses = {row["token"]: row for row in posed if row["token"] in asked}

    def placed(frame: str, channel: str) -> dict[str, Any]:
        if (frame, channel) not in shots:
            raise ValueError(f"{meta} has no {channel} of sample {frame}: the tables are damaged")
        row = shots[frame, channel]
        mount, pose = mounts[row["calibrated_sensor_token"]], poses.get(row["ego_pose_token"])
        if pose is None:
            raise ValueError(f"{meta}/ego_pose.json lacks {row['ego_pose_token']}")
        return {"file": row["filename"], "mount": mount, "pose": pose}

    records = []
    for frame in frames:
        laser = placed(frame, LIDAR)
        for channel in CAMERAS:
            camera = placed(frame, channel)
            picture, points = (
                on_disk.inside(pathlib.Path(root), shot["file"]) for shot in (camera, laser)
            )
            index = {"laser": laser, "camera": camera}
            records.append(on_disk.Record(picture.stem, picture, {"depth": (points,)}, index))
    raw = {"depth": _is_whole}
    return on_disk.OnDisk("nuscenes_depth/val", records, {"depth": _depth}, raw=raw)


def rows(path: pathlib.Path, *fields: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list one by one, since one of the tables has over a gigabyte.

    Raises ValueError naming a file that is missing, damaged or ends too early, or has an object
    without one of `fields`.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing: it belongs to the released tree")
    decoder, gap, needed = json.JSONDecoder(), re.compile(r"[\s,]*"), set(fields)
    with path.open(encoding="utf-8") as file:
        text = file.read(CHUNK).lstrip()
        if not text.startswith("["):
            raise ValueError(f"{path} is no JSON list")
        at = 1
        while True:
            at = gap.match(text, at).end()  # type: ignore[union-attr]
            if text.startswith("]", at):
                return
            try:
                row, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError as e:
                more = file.read(CHUNK)
                if not more:
                    raise ValueError(f"{path} ends too early, it may be half-downloaded") from e
                text, at = text[at:] + more, 0
                continue
            if not isinstance(row, dict) or not row.keys() >= needed:
                raise ValueError(f"{path} has {str(row)[:80]}: it needs {', '.join(fields)}")
            yield row


def _key_frames(meta: pathlib.Path) -> list[str]:
    """Tokens of val's key frames, scene by scene, in the order of time."""
    names = {f"scene-{number:04d}" for number in json.loads(VAL_SCENES.read_text())}
    scenes = sorted(
        (row["name"], row["token"])
        for row in rows(meta / "scene.json", "name", "token")
        if row["name"] in names
    )
    frames: dict[str, list[tuple[int, str]]] = {token: [] for _, token in scenes}
    for row in rows(meta / "sample.json", "token", "scene_token", "timestamp"):
        if row["scene_token"] in frames:
            frames[row["scene_token"]].append((row["timestamp"], row["token"]))
    return [token for _, scene in scenes for _, token in sorted(frames[scene])]


def _rotation(row: Mapping[str, Any]) -> np.ndarray:
    """The matrix of a quaternion written (w, x, y, z)."""
    return transform.Rotation.from_quat(np.roll(row["rotation"], -1)).as_matrix()


def _out(points: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """Moves points (N, 3) from a frame into the one that it is placed in."""
    return points @ _rotation(row).T + np.array(row["translation"])


def _into(points: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """Moves points (N, 3) into a frame from the one that it is placed in."""
    return (points - np.array(row["translation"])) @ _rotation(row)


def _is_whole(record: on_disk.Record) -> bool:
    size = record.truth["depth"][0].stat().st_size
    return size > 0 and size % POINT_BYTES == 0


def _depth(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    (path,) = record.truth["depth"]
    if not _is_whole(record):
        raise ValueError(
            f"{path} has {path.stat().st_size} bytes, no multiple of a point's {POINT_BYTES}: it "
            "is truncated"
        )
    data = np.fromfile(path, "<f4")
    laser, camera = record.entry["laser"], record.entry["camera"]
    points = data.reshape(-1, 5)[:, :3].astype(np.float64)
    points = _out(_out(points, laser["mount"]), laser["pose"])
    points = _into(_into(points, camera["pose"]), camera["mount"])
    depth = project(points, np.array(camera["mount"]["camera_intrinsic"]), picture.shape[:2])
    return depth, depth > 0, {}


def project(points: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Depth of the points that a camera sees.

    Args:
      points: (N, 3) metres: x right, y down, z forward.
      intrinsics: (3, 3), in pixels.
      size: (H, W).

    Returns:
      (H, W) float32 metres along the optical axis, 0 where there is no point.
    """
    z = points[:, 2]
    points, z = points[z > NEAREST_M], z[z > NEAREST_M]
    u, v, _ = (points @ intrinsics.T / z[:, None]).T
    seen = (u > BORDER) & (u < size[1] - BORDER) & (v > BORDER) & (v < size[0] - BORDER)
    depth = np.full(size, np.inf, np.float32)
    np.minimum.at(depth, (v[seen].astype(int), u[seen].astype(int)), z[seen].astype(np.float32))
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)
