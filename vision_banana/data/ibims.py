"""iBims-1: 100 indoor pictures of 480 x 640 with laser-scanned depth.

Where to get it: `ibims1_core_mat.zip` and `imagelist.txt` from
https://www.asg.ed.tum.de/lmf/ibims1/ (https://doi.org/10.14459/2018mp1455541). Licence: none is
stated on the page; research use.

Expected tree:

    ROOT/imagelist.txt                      one name a line
    ROOT/ibims1_core_mat/NAME.mat           MATLAB 5, the struct `data`

Of `data` these are read: `rgb`; `depth`, metres along the optical axis, 0 where missing; and the
masks that are asked for, 1 where a pixel is kept. The authors' evaluate_ibims.py applies both of
`MASKS`; UniK3D's evaluator, which the benchmark follows, neither, but 0 < depth < 25 m of a copy of
its own. (The PNG release holds the same depth times 65535 / 50.)
"""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import io

from vision_banana.data import on_disk

MASKS = ("mask_invalid", "mask_transp")


def ibims(root: str, masks: Sequence[str] = MASKS) -> on_disk.OnDisk:
    """Metric depth, valid where it is above 0 and each of `masks` is 1.

    Raises:
      ValueError: a mask that is not of `MASKS`, or a folder that is not as above.
    """
    unknown = set(masks) - set(MASKS)
    if unknown:
        raise ValueError(f"ibims has masks {list(masks)}: choose from {', '.join(MASKS)}, or none")
    listed = on_disk.file(root, "imagelist.txt")
    with on_disk.bad_index(listed):
        names = listed.read_text("utf-8").split()
    shown = on_disk.folder(root, "ibims1_core_mat")
    answers = {"depth": functools.partial(_depth, masks)}
    records = [on_disk.Record(name, on_disk.inside(shown, f"{name}.mat"), {}) for name in names]
    return on_disk.OnDisk("ibims", records, answers, _picture)


@functools.lru_cache(maxsize=2)
def _read(path: pathlib.Path) -> dict[str, Any]:
    path.stat()  # a missing file is named as one
    try:
        return io.loadmat(path, simplify_cells=True)["data"]
    except Exception as e:  # SciPy raises what the broken bytes happen to hit
        raise ValueError(f"{path} is damaged, or has no struct data: {e!r}") from e


def _picture(record: on_disk.Record) -> np.ndarray:
    assert record.picture is not None
    return _read(record.picture)["rgb"].astype(np.float32) / 255


def _depth(masks: Sequence[str], record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    assert record.picture is not None
    data = _read(record.picture)
    depth = data["depth"].astype(np.float32)
    valid = depth > 0
    for mask in masks:
        if np.shape(data[mask]) != depth.shape:
            raise ValueError(
                f"{record.picture} has {mask} of shape {np.shape(data[mask])} and depth of "
                f"{depth.shape}: they must be of one size"
            )
        valid &= data[mask] == 1
    return depth, valid, {}
