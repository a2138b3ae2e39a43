"""The corners of each crop, read off a picture whose values are its rows and columns."""

import numpy as np
import pytest

from vision_banana.evaluation import crops


@pytest.mark.parametrize(
    ("name", "shape", "rows", "columns"),
    [
        ("eigen_nyu", (480, 640), (45, 470), (41, 600)),
        ("garg", (352, 1216), (143, 348), (43, 1171)),
        ("garg", (375, 1242), (153, 370), (44, 1196)),
    ],
)
def test_corners(name, shape, rows, columns):
    inside = crops.CROPS[name](shape)
    down, across = np.mgrid[: shape[0], : shape[1]]
    assert (down[inside].min(), down[inside].max()) == rows
    assert (across[inside].min(), across[inside].max()) == columns
    assert inside.sum() == (rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1)


def test_the_nyu_crop_belongs_to_one_size():
    with pytest.raises(ValueError, match=r"480 x 640 pixels, this is \(240, 320\)"):
        crops.eigen_nyu((240, 320))
