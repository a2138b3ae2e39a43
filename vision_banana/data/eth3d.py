"""ETH3D, the 454 DSLR training pictures of 4032 x 6048.

Where to get it: for each of the 13 scenes `SCENE_dslr_jpg.7z` and `SCENE_dslr_depth.7z` from
https://www.eth3d.net/datasets. Licence: CC BY-NC-SA 4.0.

Expected tree (both archives unpacked over each other):

    ROOT/SCENE/images/dslr_images/NAME.JPG
    ROOT/SCENE/ground_truth_depth/dslr_images/NAME.JPG      no JPEG: raw float32, row by row

The depth belongs to the original (distorted) pictures: metres along the optical axis, infinite
where the laser scan has no point. Pictures are taken as stored, whatever their EXIF rotation says,
since the depth is.
"""

import numpy as np
from PIL import Image

from vision_banana.data import on_disk, pictures


def eth3d(root: str) -> on_disk.OnDisk:
    """Metric depth."""
    top = on_disk.folder(root)
    names = {
        (path.parents[2].name, path.name)
        for part in ("images", "ground_truth_depth")
        for path in top.glob(f"*/{part}/dslr_images/*.JPG")
    }
    records = [
        on_disk.Record(
            f"{scene}/{name.removesuffix('.JPG')}",
            top / scene / "images" / "dslr_images" / name,
            {"depth": (top / scene / "ground_truth_depth" / "dslr_images" / name,)},
        )
        for scene, name in sorted(names)
    ]
    raw = {"depth": _is_whole}
    return on_disk.OnDisk("eth3d", records, {"depth": _depth}, _picture, raw=raw)


def _picture(record: on_disk.Record) -> np.ndarray:
    assert record.picture is not None
    return pictures.read(record.picture, upright=False)


def _is_whole(record: on_disk.Record) -> bool:
    """Whether the depth has a number for each pixel that the picture's header announces."""
    assert record.picture is not None
    try:
        with Image.open(record.picture) as image:
            columns, rows = image.size
    except Exception:  # what is wrong with the picture is said of the picture
        return True
    return record.truth["depth"][0].stat().st_size == 4 * rows * columns


def _depth(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    (path,) = record.truth["depth"]
    rows, columns = picture.shape[:2]
    size = path.stat().st_size
    if size != 4 * rows * columns:
        raise ValueError(
            f"{path} has {size} bytes, and {rows} x {columns} float32 have {4 * rows * columns}: "
            "it is truncated, or of another picture"
        )
    depth = np.fromfile(path, "<f4").reshape(rows, columns)
    valid = np.isfinite(depth) & (depth > 0)
    return np.where(valid, depth, 0).astype(np.float32), valid, {}
