"""TartanAir and Mid-Air: rendered flights with depth."""

import math

import numpy as np
import picture_files
import pytest

from vision_banana.data import midair, source, tartanair


def test_tartanair(tmp_path):
    # An archive's name once or twice; the sky of `amusement` is wrong.
    for place in ("hospital", "gascola/gascola", "amusement", "amusement/amusement"):
        flight = tmp_path / place / "Easy" / "P001"
        picture_files.save(flight / "image_left" / "000007_left.png", np.zeros((2, 3, 3), np.uint8))
        (flight / "depth_left").mkdir()
        depth = np.array([[1.5, 10000, np.nan], [0, 999, 80]], np.float32)
        np.save(flight / "depth_left" / "000007_left_depth.npy", depth)
    picture_files.save(
        tmp_path / "hospital/Hard/P000/image_left/000000_left.png", np.zeros((2, 3, 3), np.uint8)
    )
    read = tartanair.tartanair(str(tmp_path))
    assert [read.key(i) for i in range(len(read))] == [
        "tartanair/gascola/gascola/Easy/P001/000007",
        "tartanair/hospital/Easy/P001/000007",
        "tartanair/hospital/Hard/P000/000000",
    ]
    example = read.example(1, "depth")
    assert example.valid.tolist() == [[True, True, False], [False, True, True]]
    assert example.label[example.valid].tolist() == [1.5, np.inf, 999, 80]
    with pytest.raises(source.BadRecord, match=r"missing file: .*000000_left_depth\.npy"):
        read.example(2, "depth")


def test_midair(tmp_path):
    for part in ("Kite_training", "Kite_test"):
        folder = tmp_path / part / "sunny"
        shown = folder / "color_left" / "trajectory_0004" / "000011.JPEG"
        shown.parent.mkdir(parents=True)
        shown.write_bytes(picture_files.png((1, 2, 3), (4, 2)))
        distance = np.array([[5, 5, 5, 5], [60000, 0, np.nan, 20]], np.float16)
        picture_files.save(
            folder / "depth" / "trajectory_0004" / "000011.PNG", distance.view(np.uint16)
        )
    read = midair.midair(str(tmp_path))
    assert [read.key(i) for i in range(len(read))] == [
        "midair/Kite_training/sunny/trajectory_0004/000011"
    ]
    example = read.example(0, "depth")
    # Focal length 2 pixels; centres are 1.5 and 0.5 pixels to the side, 0.5 up: over the focal
    # length 0.75, 0.25 and 0.25.
    far, near = (5 / math.sqrt(1 + x**2 + 0.25**2) for x in (0.75, 0.25))
    np.testing.assert_allclose(example.label[0], [far, near, near, far], rtol=1e-5)
    assert example.valid.tolist() == [[True] * 4, [True, False, False, True]]
    assert example.label[1, 0] == np.inf
    assert example.label[1, 3] == pytest.approx(20 * far / 5, rel=1e-5)


def test_midair_is_infinitely_far_beyond_a_kilometre(tmp_path):
    folder = tmp_path / "Kite_training" / "sunny"
    shown = folder / "color_left" / "trajectory_0004" / "000011.JPEG"
    shown.parent.mkdir(parents=True)
    shown.write_bytes(picture_files.png((1, 2, 3), (2, 1)))
    distance = np.array([[1000, 1001]], np.float16)
    truth = folder / "depth" / "trajectory_0004" / "000011.PNG"
    picture_files.save(truth, distance.view(np.uint16))
    example = midair.midair(str(tmp_path)).example(0, "depth")
    # Both centres are half a focal length to the side.
    assert example.label[0, 0] == pytest.approx(1000 / math.sqrt(1.25), rel=1e-6)
    assert example.label[0, 1] == np.inf and example.valid.all()
