"""DIODE indoor, validation part: 325 pictures of 768 x 1024 with laser-scanned depth and normals.

Where to get it: `val.tar.gz` and, for normals, `val_normals.tar.gz` from
https://diode-dataset.org, unpacked over each other. Licence: MIT.

Expected tree:

    ROOT/val/indoors/scene_*/scan_*/NAME.png
    .../NAME_depth.npy              float32 (768, 1024, 1), metres
    .../NAME_depth_mask.npy         1 where the depth is valid
    .../NAME_normal.npy             float32 (768, 1024, 3), (0, 0, 0) where unknown

The release does not say whether depth is along the optical axis or the ray. UniK3D, MoGe,
Metric3D and ZoeDepth, which all evaluate on it, take it as z, and so does this reader. Normals
have x right, y up, z towards the camera, as Metric3D's change of axes implies; the check of the
data tests this on floors and walls. As in StableNormal's compute_metric.py, a normal is valid
where its length lies between 0.5 and 1.5.
"""

import numpy as np

from vision_banana.data import normal_maps, on_disk


def diode_indoor(root: str) -> on_disk.OnDisk:
    """Metric depth and surface normals."""
    shown = on_disk.folder(root, "val", "indoors")
    ends = (".png", "_depth.npy", "_depth_mask.npy")
    names = {
        str(path.relative_to(shown)).removesuffix(end)
        for end in reversed(ends)
        for path in shown.glob(f"scene_*/scan_*/*{end}")
    }
    records = [
        on_disk.Record(
            name,
            shown / f"{name}.png",
            {
                "depth": (shown / f"{name}_depth.npy", shown / f"{name}_depth_mask.npy"),
                "surface_normals": (shown / f"{name}_normal.npy",),
            },
        )
        for name in sorted(names)
    ]
    answers = {"depth": _depth, "surface_normals": _normals}
    return on_disk.OnDisk("diode_indoor/val", records, answers)


def _depth(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    depth, mask = (on_disk.array(path) for path in record.truth["depth"])
    depth = depth.reshape(depth.shape[:2]).astype(np.float32)
    if mask.shape != depth.shape:
        raise ValueError(
            f"{record.truth['depth'][1]} has shape {mask.shape} and the depth {depth.shape}: they "
            "must be of one size"
        )
    return depth, (mask == 1) & (depth > 0) & np.isfinite(depth), {}


def _normals(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    (path,) = record.truth["surface_normals"]
    normals = on_disk.array(path).astype(np.float32)
    if normals.ndim != 3 or normals.shape[-1] != 3:
        raise ValueError(f"{path} has shape {normals.shape}: it must be (H, W, 3)")
    length = np.linalg.norm(normals, axis=-1)
    valid = (length > 0.5) & (length < 1.5)  # False for NaN
    return normal_maps.normalise(normals, valid), valid, {}
