"""KITTI depth, the Eigen test split with the improved truth: 652 of its 697 pictures.

Where to get it: the raw drives of the list and `data_depth_annotated.zip` (Uhrig et al. 2017) from
https://www.cvlibs.net/datasets/kitti; the list `eigen_test_files_with_gt.txt` from
https://github.com/cleinc/bts (train_test_inputs), whose 45 lines without truth say "None".
Licence: CC BY-NC-SA 3.0.

Expected tree (all archives unpacked in one folder):

    ROOT/eigen_test_files_with_gt.txt
    ROOT/2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png
    ROOT/{train,val}/2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png

Depth is 16-bit PNG, metres times 256 along the optical axis of the camera (laser points projected
into it: not range, not the laser's frame), 0 where there is none. Picture and depth are cut to the
benchmark's 352 x 1216, bottom and middle, as UniK3D and ZoeDepth do before they evaluate.
"""

import functools
import pathlib

import numpy as np

from vision_banana.data import on_disk, pictures

HEIGHT, WIDTH = 352, 1216
METRES_PER_UNIT = 1 / 256


def kitti_depth(root: str) -> on_disk.OnDisk:
    """Metric depth."""
    top = on_disk.folder(root)
    listed = on_disk.file(root, "eigen_test_files_with_gt.txt")
    records = []
    with on_disk.bad_index(listed):
        lines = listed.read_text("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if len(parts) < 2:
            raise ValueError(f"{listed}, line {number} is {line!r}: it must name picture and truth")
        if parts[1] == "None":
            continue
        name = parts[0].removesuffix(".png")
        truth = _truth(top, parts[1])
        records.append(on_disk.Record(name, on_disk.inside(top, parts[0]), {"depth": (truth,)}))
    return on_disk.OnDisk("kitti_depth/eigen", records, {"depth": _depth}, _picture)


def _truth(top: pathlib.Path, name: str) -> pathlib.Path:
    """Where a truth lies: the archive has some of the drives in `train`, the others in `val`."""
    in_train, in_val = (on_disk.inside(top / part, name) for part in ("train", "val"))
    return in_train if in_train.exists() else in_val


def benchmark_crop(array: np.ndarray) -> np.ndarray:
    """Cuts (H, W, ...) to 352 x 1216: the lowest rows, the middle columns."""
    rows, columns = array.shape[:2]
    if rows < HEIGHT or columns < WIDTH:
        raise ValueError(f"it is {rows} x {columns}, smaller than {HEIGHT} x {WIDTH}")
    top, left = rows - HEIGHT, int((columns - WIDTH) / 2)
    return array[top : top + HEIGHT, left : left + WIDTH]


@functools.lru_cache(maxsize=1)
def _read(path: pathlib.Path) -> np.ndarray:
    return pictures.read(path)


def _picture(record: on_disk.Record) -> np.ndarray:
    assert record.picture is not None
    return benchmark_crop(_read(record.picture))


def _depth(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    assert record.picture is not None
    (path,) = record.truth["depth"]
    depth, valid = pictures.read_depth(path, METRES_PER_UNIT)
    size = _read(record.picture).shape[:2]
    if depth.shape != size:  # the crop would hide it, and shift one against the other
        raise ValueError(
            f"{path} is {depth.shape} and the picture {size}: they must be of one size"
        )
    return benchmark_crop(depth), benchmark_crop(valid), {}
