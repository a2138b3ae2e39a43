"""NYU Depth v2, the 654 labelled test pictures of 480 x 640.

Where to get it: `nyu_depth_v2_labeled.mat` and `splits.mat` from
https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html. Licence: none is stated; research use.
(TFDS' `nyu_depth_v2` is a repack whose depth was filled in: not the official truth.)

Expected tree:

    ROOT/nyu_depth_v2_labeled.mat       HDF5, 2.8 GB
    ROOT/splits.mat                     MATLAB 5, testNdxs counted from 1

The truth is `rawDepths`: metres along the optical axis (the Kinect's own z), 0 where it saw
nothing. `depths`, which is filled in, is not used. As in the export that depth papers evaluate on
(cleinc/bts, extract_official_train_test_set_from_mat.py), the picture is black outside rows
7:474 and columns 7:632, where its white border lies. That export also cuts depth to whole
millimetres, which is not repeated here.
"""

import pathlib

import numpy as np
from scipy import io

from vision_banana.data import on_disk

ROWS, COLUMNS = slice(7, 474), slice(7, 632)


def nyu_depth(root: str) -> on_disk.OnDisk:
    """Metric depth."""
    path = on_disk.file(root, "nyu_depth_v2_labeled.mat")
    splits = on_disk.file(root, "splits.mat")
    try:
        numbers = io.loadmat(splits)["testNdxs"].ravel()
    except Exception as e:  # SciPy raises what the broken bytes happen to hit
        raise ValueError(f"{splits} is damaged, or has no testNdxs: {e!r}") from e
    records = [
        on_disk.Record(f"{n:04d}", path, {}, {"number": int(n) - 1}) for n in sorted(numbers)
    ]
    return on_disk.OnDisk("nyu_depth/test", records, {"depth": _depth}, _picture)


def _read(path: pathlib.Path, name: str, number: int) -> np.ndarray:
    """One array of the file, which HDF5 shows with its axes reversed."""
    h5py = on_disk.library("h5py")
    with h5py.File(path, "r") as file:
        stored = file[name]
        on_disk.check_size(f"{name} of {path}", stored.shape[:0:-1])
        return np.asarray(stored[number]).T


def _picture(record: on_disk.Record) -> np.ndarray:
    assert record.picture is not None
    image = _read(record.picture, "images", record.entry["number"])
    shown = np.zeros(image.shape, np.float32)
    shown[ROWS, COLUMNS] = image[ROWS, COLUMNS] / np.float32(255)
    return shown


def _depth(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    assert record.picture is not None
    depth = _read(record.picture, "rawDepths", record.entry["number"]).astype(np.float32)
    return depth, depth > 0, {}
