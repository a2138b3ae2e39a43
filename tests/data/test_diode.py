import numpy as np
import pytest
from PIL import Image

from vision_banana.data import diode, source


def _write(root, name="scene_00019/scan_00183/00019_00183_indoors_000_010"):
    place = root / "val" / "indoors" / name
    place.parent.mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(f"{place}.png")
    np.save(f"{place}_depth.npy", np.array([[1, 0, 300], [4, 5, 6]], np.float32)[..., None])
    np.save(f"{place}_depth_mask.npy", np.array([[1.0, 1, 1], [0, 1, 1]]))
    normals = np.zeros((2, 3, 3), np.float32)
    normals[0, 0] = (0, 0, 1)
    normals[0, 1] = (1.2, 0, 0)
    normals[0, 2] = (0, 0.5, 0)
    normals[1, 0] = (0, 1.5, 0)
    normals[1, 1] = np.nan
    np.save(f"{place}_normal.npy", normals)
    return place


def test_depth_needs_its_mask(tmp_path):
    _write(tmp_path)
    read = diode.diode_indoor(str(tmp_path))
    assert len(read) == 1 and read.tasks == ("depth", "surface_normals")
    example = read.example(0, "depth")
    assert example.label.shape == (2, 3) and example.label[1, 2] == 6
    assert example.valid.tolist() == [[True, False, True], [False, True, True]]
    assert len(read.files(0, "depth")) == 3 and len(read.files(0, "surface_normals")) == 2


def test_normals_of_a_length_between_a_half_and_one_and_a_half(tmp_path):
    _write(tmp_path)
    example = diode.diode_indoor(str(tmp_path)).example(0, "surface_normals")
    assert example.valid.tolist() == [[True, True, False], [False, False, False]]
    assert example.label[0, 0].tolist() == [0, 0, 1] and example.label[0, 1].tolist() == [1, 0, 0]
    assert not example.label[~example.valid].any()


def test_normals_may_be_absent_and_depth_damaged(tmp_path):
    place = _write(tmp_path)
    (place.parent / f"{place.name}_normal.npy").unlink()
    read = diode.diode_indoor(str(tmp_path))
    with pytest.raises(source.BadRecord, match=r"missing file: .*_normal\.npy"):
        read.example(0, "surface_normals")
    for shape in ((4, 4), (1, 3), (2, 1), (1,), (), (2, 3, 1)):
        np.save(f"{place}_depth_mask.npy", np.ones(shape))
        with pytest.raises(source.BadRecord, match=r"mask\.npy has shape .* the depth \(2, 3\)"):
            read.example(0, "depth")


def test_a_mask_of_1_alone_and_a_finite_depth_are_valid(tmp_path):
    place = _write(tmp_path)
    np.save(f"{place}_depth.npy", np.array([[1, 2, 3], [np.inf, np.nan, -1]], np.float32))
    np.save(f"{place}_depth_mask.npy", np.array([[1, 0.5, 2], [1, 1, 1]]))
    valid = diode.diode_indoor(str(tmp_path)).example(0, "depth").valid
    assert valid.tolist() == [[True, False, False], [False, False, False]]
