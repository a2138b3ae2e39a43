import numpy as np
import pytest
from PIL import Image

from vision_banana.data import eth3d, source


def _write(root, depth, scene="courtyard", name="DSC_0286.JPG", exif=None):
    shown = root / scene / "images" / "dslr_images"
    truth = root / scene / "ground_truth_depth" / "dslr_images"
    shown.mkdir(parents=True, exist_ok=True)
    truth.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", depth.shape[::-1]).save(shown / name, exif=exif or Image.Exif())
    depth.astype("<f4").tofile(truth / name)


def test_raw_depth_with_infinity(tmp_path):
    depth = np.array([[1, np.inf, 3], [4, 5, np.inf]])
    exif = Image.Exif()
    exif[0x0112] = 6  # the depth lies as the pixels are stored, whatever the camera's tag says
    _write(tmp_path, depth, exif=exif)
    _write(tmp_path, depth + 1, "pipes", "DSC_0001.JPG")
    read = eth3d.eth3d(str(tmp_path))
    assert [read.key(i) for i in range(2)] == ["eth3d/courtyard/DSC_0286", "eth3d/pipes/DSC_0001"]
    example = read.example(0, "depth")
    assert example.references[0].shape == (2, 3, 3)
    assert example.label.tolist() == [[1, 0, 3], [4, 5, 0]]
    assert example.valid.tolist() == [[True, False, True], [True, True, False]]


def test_truncated_and_missing_depth(tmp_path):
    _write(tmp_path, np.ones((4, 5)))
    path = tmp_path / "courtyard/ground_truth_depth/dslr_images/DSC_0286.JPG"
    path.write_bytes(path.read_bytes()[:-4])
    read = eth3d.eth3d(str(tmp_path))
    with pytest.raises(source.BadRecord, match=r"has 76 bytes, and 4 x 5 float32 have 80"):
        read.example(0, "depth")
    path.unlink()
    with pytest.raises(source.BadRecord, match=r"missing file: .*ground_truth_depth"):
        eth3d.eth3d(str(tmp_path)).example(0, "depth")


def test_depth_of_nothing_or_less_is_unknown(tmp_path):
    _write(tmp_path, np.array([[0, -1, 0.5]]))
    example = eth3d.eth3d(str(tmp_path)).example(0, "depth")
    assert example.valid.tolist() == [[False, False, True]]
    assert example.label.tolist() == [[0, 0, 0.5]]
