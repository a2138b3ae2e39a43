"""Surface normals of NYUv2, ScanNet and Virtual KITTI 2 as DSINE's evaluation bundle has them.

Where to get it: `dsine_eval.zip`, linked in https://github.com/baegwangbin/DSINE. Licence: each
data set's own; readme files are in the bundle.

Expected tree:

    ROOT/nyuv2/test/NAME_img.png, NAME_normal.png           654; truth of GeoNet; 8-bit
    ROOT/scannet/SCENE/NAME_img.png, NAME_normal.png        300; truth of FrameNet; 8-bit
    ROOT/vkitti/SCENE/NAME_img.jpg, NAME_normal.png         1,000; plane fitting; 16-bit

A code v in [0, 1] is 2 v - 1, valid where its channels do not add up to 0. DSINE's words are
right, down, front with outward normals (a wall that faces the camera is (0, 0, 1)); as plain
vectors this is left, up, towards the camera, so x alone changes sign here
(Stable-X/StableNormal#18).
"""

import numpy as np

from vision_banana.data import normal_maps, on_disk, pictures

SIGNS = (-1, 1, 1)  # left, up, towards the camera -> right, up, towards the camera
# Set -> its folders, and how its pictures' names end.
SETS = {
    "nyuv2": ("test", "_img.png"),
    "scannet": ("scene*", "_img.png"),
    "vkitti": ("Scene*", "_img.jpg"),
}
TRUTH = "_normal.png"


def dsine_normals(root: str, dataset: str) -> on_disk.OnDisk:
    """Surface normals of one of `SETS`."""
    if dataset not in SETS:
        raise ValueError(f"unknown set {dataset!r}: it must be one of {', '.join(SETS)}")
    top = on_disk.folder(root, dataset)
    place, shown = SETS[dataset]
    names = {
        str(path.relative_to(top)).removesuffix(end)
        for end in (shown, TRUTH)
        for path in top.glob(f"{place}/*{end}")
    }
    records = [
        on_disk.Record(name, top / f"{name}{shown}", {"surface_normals": (top / f"{name}{TRUTH}",)})
        for name in sorted(names)
    ]
    return on_disk.OnDisk(f"dsine/{dataset}", records, {"surface_normals": _normals})


def _normals(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    code = pictures.read_codes(record.truth["surface_normals"][0])
    valid = code.sum(-1) > 0
    normals = np.array(SIGNS, np.float32) * (2 * code - 1)
    return normal_maps.normalise(normals, valid), valid, {}
