import numpy as np
import pytest
from scipy import io

from vision_banana.data import nyu_depth, on_disk, source

h5py = pytest.importorskip("h5py")


def _write(root, count=3, test=(3, 1)):
    """MATLAB's (480, 640, 3, N) and (480, 640, N) as HDF5 holds them, axes reversed."""
    rows, columns = np.mgrid[:480, :640]
    images = np.zeros((480, 640, 3, count), np.uint8)
    images[..., 0, :] = (rows % 256)[..., None]
    images[..., 1, :] = (columns % 256)[..., None]
    images[..., 2, :] = np.arange(count)
    depths = np.zeros((480, 640, count), np.float32)
    depths += (rows + columns / 1000)[..., None]
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = images.T
        file["rawDepths"] = depths.T
        file["depths"] = 0 * depths.T + 9
    io.savemat(root / "splits.mat", {"testNdxs": np.array(test)[:, None], "trainNdxs": [[2]]})


def test_test_pictures_upright_with_raw_depth(tmp_path):
    _write(tmp_path)
    read = nyu_depth.nyu_depth(str(tmp_path))
    assert [read.key(i) for i in range(2)] == ["nyu_depth/test/0001", "nyu_depth/test/0003"]
    example = read.example(1, "depth")
    picture = np.rint(example.references[0] * 255).astype(int)
    assert picture.shape == (480, 640, 3) and picture[100, 300].tolist() == [100, 300 - 256, 2]
    assert example.references[0][255, 300, 0] == 1  # 255 is white
    assert example.label[100, 300] == np.float32(100.3) and example.label.dtype == np.float32
    assert not example.valid[0, 0] and example.valid[0, 1]  # 0 m means that nothing was seen


def test_the_white_border_is_black(tmp_path):
    _write(tmp_path)
    shown = nyu_depth.nyu_depth(str(tmp_path)).example(1, "depth").references[0].any(-1)
    rows, columns = np.nonzero(shown.any(1))[0], np.nonzero(shown.any(0))[0]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 473, 7, 631)


def test_arrays_larger_than_a_picture_are_not_read(tmp_path, monkeypatch):
    _write(tmp_path)
    monkeypatch.setattr(on_disk.pictures, "MAX_PIXELS", 480 * 640 - 1)
    read = nyu_depth.nyu_depth(str(tmp_path))
    with pytest.raises(source.BadRecord, match=r"images of .*\(480, 640, 3\), more than 307199 pi"):
        read.example(0, "depth")
    with pytest.raises(ValueError, match=r"rawDepths of .*\(480, 640\), more than 307199 pixels"):
        nyu_depth._read(tmp_path / "nyu_depth_v2_labeled.mat", "rawDepths", 0)


def test_damaged_files_are_named(tmp_path):
    _write(tmp_path)
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(source.BadRecord, match=r"nyu_depth/test/0001.*damaged file"):
        nyu_depth.nyu_depth(str(tmp_path)).example(0, "depth")
    (tmp_path / "splits.mat").write_bytes(b"MATLAB")
    with pytest.raises(ValueError, match=r"splits\.mat is damaged"):
        nyu_depth.nyu_depth(str(tmp_path))
    path.unlink()
    with pytest.raises(ValueError, match=r"nyu_depth_v2_labeled\.mat is missing"):
        nyu_depth.nyu_depth(str(tmp_path))
