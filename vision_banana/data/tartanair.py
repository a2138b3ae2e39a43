"""TartanAir: rendered flights through 30 places, indoors and out, 480 x 640, with depth.

Where to get it: download_training.py of https://github.com/castacks/tartanair_tools, left camera,
image and depth. Licence: CC BY 4.0 by the data's page (unverified here); the tools are BSD.

Expected tree (the archives may have put a place's name twice):

    ROOT/PLACE/{Easy,Hard}/P000/image_left/000000_left.png
    ROOT/PLACE/{Easy,Hard}/P000/depth_left/000000_left_depth.npy     float, metres

Depth is along the optical axis: the tools' data_type.md makes the disparity of a stereo pair,
320 pixels times 0.25 m, of it by one division. The sky lies on a sphere far away, "10000" in that
file's example; here everything beyond `FAR_M` is infinitely far. The place `LEFT_OUT` is left out:
an invisible dome ends its depth where the sky is (castacks/tartanair_tools#46).
"""

import numpy as np

from vision_banana.data import on_disk

FAR_M = 1000.0
LEFT_OUT = "amusement"


def tartanair(root: str) -> on_disk.OnDisk:
    """Metric depth of every training picture of the left camera, but for `LEFT_OUT`."""
    top = on_disk.folder(root)
    shown, truth = "image_left", "depth_left"
    ends = {shown: "_left.png", truth: "_left_depth.npy"}
    names = {
        str(path.parent.parent.relative_to(top) / path.name.removesuffix(end))
        for part, end in ends.items()
        for path in top.rglob(f"P[0-9]*/{part}/*{end}")
        if LEFT_OUT not in path.relative_to(top).parts
    }
    records = []
    for name in sorted(names):
        flight, _, frame = name.rpartition("/")
        records.append(
            on_disk.Record(
                name,
                top / flight / shown / f"{frame}{ends[shown]}",
                {"depth": (top / flight / truth / f"{frame}{ends[truth]}",)},
            )
        )
    return on_disk.OnDisk("tartanair", records, {"depth": _depth})


def _depth(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    depth = on_disk.array(record.truth["depth"][0]).astype(np.float32)
    valid = depth > 0
    return np.where(valid & (depth > FAR_M), np.inf, depth), valid, {}
