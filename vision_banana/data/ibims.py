"""iBims-1: 100 indoor pictures of 480 x 640 with laser-scanned depth.

Where to get it: `ibims1_core_mat.zip` and `imagelist.txt` from
https://www.asg.ed.tum.de/lmf/ibims1/ (https://doi.org/10.14459/2018mp1455541). Licence: none is
stated on the page; research use.

Expected tree:

    ROOT/imagelist.txt                      one name a line
    ROOT/ibims1_core_mat/NAME.mat           MATLAB 5, the struct `data`

Of `data` these are read, as in the authors' evaluate_ibims.py: `rgb`; `depth`, metres along the
optical axis, 0 where missing; `mask_invalid` and `mask_transp`, both 1 where a pixel is kept.
(The PNG release holds the same depth times 65535 / 50.)
"""

import functools
import pathlib
from typing import Any

import numpy as np
from scipy import io

from vision_banana.data import on_disk


def ibims(root: str) -> on_disk.OnDisk:
    """Metric depth."""
    names = on_disk.file(root, "imagelist.txt").read_text().split()
    shown = on_disk.folder(root, "ibims1_core_mat")
    records = [on_disk.Record(name, on_disk.inside(shown, f"{name}.mat"), {}) for name in names]
    return on_disk.OnDisk("ibims", records, {"depth": _depth}, _picture)


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


def _depth(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    assert record.picture is not None
    data = _read(record.picture)
    depth = data["depth"].astype(np.float32)
    valid = (depth > 0) & (data["mask_invalid"] == 1) & (data["mask_transp"] == 1)
    return depth, valid, {}
