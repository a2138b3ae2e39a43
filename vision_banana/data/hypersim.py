"""Hypersim: 77,400 rendered pictures of 461 indoor scenes, 768 x 1024, with depth and normals.

Where to get it: the download script and the two tables of https://github.com/apple/ml-hypersim
(evermotion_dataset/analysis and contrib/mikeroberts3000). Licence: CC BY-SA 3.0.

Expected tree; scenes that are not there are left out:

    ROOT/metadata_images_split_scene_v1.csv
    ROOT/metadata_camera_parameters.csv
    ROOT/ai_VVV_NNN/images/scene_cam_XX_final_preview/frame.IIII.tonemap.jpg
    ROOT/ai_VVV_NNN/images/scene_cam_XX_geometry_hdf5/frame.IIII.depth_meters.hdf5
    ROOT/ai_VVV_NNN/images/scene_cam_XX_geometry_hdf5/frame.IIII.normal_cam.hdf5

`depth_meters` is the distance to the camera's centre, as the README says; here it becomes depth
along the optical axis, with each scene's own rays (some scenes have shifted lenses): the ray of a
pixel is M_cam_from_uv (u, v, 1), u to the right and v up in -1 .. 1 at the picture's edges, in a
camera that looks along -z. Pixels without geometry hold no number and are unknown.

`normal_cam` has x right, y up, z towards the camera, which are this project's axes. Its maker says
that normals can be zero, not of unit length, or turned inwards, as an artist left them
(apple/ml-hypersim#26): zero is unknown here, the others are scaled, and those that face away from
the camera are turned round. The pictures are the lossy previews, the only ones with tone mapping.

`LEFT_OUT` names a scene whose scale in metres is wrong, as its maker says (apple/ml-hypersim#30),
and two cameras that apple/ml-hypersim#22 reports: one of broken pictures, one without textures.
"""

import csv
import functools
import pathlib

import numpy as np

from vision_banana.data import normal_maps, on_disk

LEFT_OUT = ("ai_053_001/", "ai_004_009/cam_01/", "ai_038_007/cam_00/")  # how names begin


def hypersim(root: str, split: str = "train") -> on_disk.OnDisk:
    """Metric depth and surface normals of a part of the official split v1.

    Raises:
      ValueError: a table that is missing or of another form, or no records.
      ImportError: h5py is not installed.
    """
    on_disk.library("h5py")
    listed = on_disk.file(root, "metadata_camera_parameters.csv")
    with on_disk.bad_index(listed):
        cameras = _cameras(listed)
    listed = on_disk.file(root, "metadata_images_split_scene_v1.csv")
    with on_disk.bad_index(listed):
        records = _records(pathlib.Path(root), _rows(listed), cameras, split)
    answers = {"depth": _depth, "surface_normals": _normals}
    return on_disk.OnDisk(f"hypersim/{split}", records, answers)


def _records(
    top: pathlib.Path,
    rows: list[dict[str, str]],
    cameras: dict[str, tuple[float, ...]],
    split: str,
) -> list[on_disk.Record]:
    records = []
    for row in rows:
        scene, released = row["scene_name"], row["included_in_public_release"] == "True"
        if row["split_partition_name"] != split or not released or not (top / scene).is_dir():
            continue
        images = on_disk.inside(top, scene) / "images"
        camera, frame = f"scene_{row['camera_name']}", f"frame.{int(row['frame_id']):04d}"
        name = f"{scene}/{row['camera_name']}/{frame}"
        if name.startswith(LEFT_OUT):
            continue
        truth = images / f"{camera}_geometry_hdf5"
        records.append(
            on_disk.Record(
                name,
                images / f"{camera}_final_preview" / f"{frame}.tonemap.jpg",
                {
                    "depth": (truth / f"{frame}.depth_meters.hdf5",),
                    "surface_normals": (truth / f"{frame}.normal_cam.hdf5",),
                },
                {"camera": cameras[scene]},
            )
        )
    return records


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _cameras(path: pathlib.Path) -> dict[str, tuple[float, ...]]:
    """Scene -> M_cam_from_uv, row by row."""
    names = [f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3)]
    return {row["scene_name"]: tuple(float(row[n]) for n in names) for row in _rows(path)}


@functools.lru_cache(maxsize=4)
def rays(camera: tuple[float, ...], height: int, width: int) -> np.ndarray:
    """Unit rays (H, W, 3) float32 of pixel centres, x right, y up, z towards the camera."""
    u = (2 * np.arange(width) + 1) / width - 1
    v = 1 - (2 * np.arange(height) + 1) / height
    places = np.stack([*np.meshgrid(u, v), np.ones((height, width))], -1)
    along = places @ np.asarray(camera).reshape(3, 3).T
    return (along / np.linalg.norm(along, axis=-1, keepdims=True)).astype(np.float32)


def _read(path: pathlib.Path) -> np.ndarray:
    with on_disk.library("h5py").File(path, "r") as file:
        stored = file["dataset"]
        if stored.ndim < 2:
            raise ValueError(f"{path} has shape {stored.shape}: it must be a picture's")
        on_disk.check_size(str(path), stored.shape)
        return stored[()].astype(np.float32)


def _depth(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    distance = _read(record.truth["depth"][0])
    depth = distance * -rays(record.entry["camera"], *distance.shape)[..., 2]
    valid = np.isfinite(depth) & (depth > 0)
    return np.where(valid, depth, 0), valid, {}


def _normals(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    normals = _read(record.truth["surface_normals"][0])
    length = np.linalg.norm(normals, axis=-1)
    valid = np.isfinite(length) & (length > 0)
    unit = normal_maps.normalise(normals, valid)
    away = (unit * rays(record.entry["camera"], *valid.shape)).sum(-1) > 0
    return np.where(away[..., None], -unit, unit), valid, {}
