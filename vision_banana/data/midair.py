"""Mid-Air: rendered flights of a drone over open country, 1024 x 1024, with depth.

Where to get it: https://midair.ulg.ac.be, left pictures and depth maps of the trajectories named
"training". Licence: CC BY-NC-SA 4.0 by that page (unverified here).

Expected tree:

    ROOT/{Kite,PLE}_training/WEATHER/color_left/trajectory_NNNN/NNNNNN.JPEG
    ROOT/{Kite,PLE}_training/WEATHER/depth/trajectory_NNNN/NNNNNN.PNG     bits of a 16-bit float

A depth map holds distances to the camera's centre in metres, as its maker says
(michael-fonder/M4Depth#6); here they become depth along the optical axis. The camera's focal length
is half the picture's width and its centre is the picture's (M4Depth's reader of the set). The sky
lies on a sphere of about 32 km around the drone, as its maker says
(montefiore-institute/midair-dataset#4); here everything beyond `FAR_M` is infinitely far.
"""

import numpy as np

from vision_banana.data import on_disk, pictures

FAR_M = 1000.0


def midair(root: str) -> on_disk.OnDisk:
    """Metric depth."""
    top = on_disk.folder(root)
    places = {"color_left": ".JPEG", "depth": ".PNG"}
    frames = {
        (str(path.parents[2].relative_to(top)), f"{path.parent.name}/{path.stem}")
        for part, end in places.items()
        for path in top.glob(f"*_training/*/{part}/trajectory_*/*{end}")
    }
    records = [
        on_disk.Record(
            f"{weather}/{frame}",
            top / weather / "color_left" / f"{frame}.JPEG",
            {"depth": (top / weather / "depth" / f"{frame}.PNG",)},
        )
        for weather, frame in sorted(frames)
    ]
    return on_disk.OnDisk("midair", records, {"depth": _depth})


def _depth(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    bits = pictures.read_labels(record.truth["depth"][0]).astype(np.uint16)
    distance = bits.view(np.float16).astype(np.float32)
    height, width = distance.shape
    right = (2 * np.arange(width, dtype=np.float32) + 1) / width - 1
    down = ((2 * np.arange(height, dtype=np.float32) + 1) - height)[:, None] / width
    depth = distance / np.sqrt(1 + right**2 + down**2)
    valid = distance > 0
    return np.where(valid & (distance > FAR_M), np.inf, np.where(valid, depth, 0)), valid, {}
