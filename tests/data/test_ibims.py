import numpy as np
import pytest
from scipy import io

from vision_banana.data import ibims, source


def _write(root, name="corridor_01", **fields):
    (root / "ibims1_core_mat").mkdir(exist_ok=True)
    data = {
        "rgb": np.full((2, 3, 3), (255, 51, 0), np.uint8),
        "depth": np.array([[1.5, 0.0, 30.0], [2.5, 3.5, 4.5]]),
        "mask_invalid": np.array([[1, 1, 1], [0, 1, 1]], np.uint8),
        "mask_transp": np.array([[1, 1, 1], [1, 0, 1]], np.uint8),
        "edges": np.zeros((2, 3)),
        **fields,
    }
    io.savemat(root / "ibims1_core_mat" / f"{name}.mat", {"data": data})
    (root / "imagelist.txt").write_text(f"{name}\n")


def test_both_masks_and_missing_depth(tmp_path):
    _write(tmp_path)
    read = ibims.ibims(str(tmp_path))
    example = read.example(0, "depth")
    assert read.key(0) == "ibims/corridor_01" and len(read) == 1
    np.testing.assert_allclose(example.references[0][1, 2], [1, 0.2, 0])
    assert example.label.tolist() == [[1.5, 0, 30], [2.5, 3.5, 4.5]]
    assert example.valid.tolist() == [[True, False, True], [False, False, True]]


@pytest.mark.parametrize(
    ("masks", "second_row"),
    [
        ([], [True] * 3),
        (["mask_invalid"], [False, True, True]),
        (("mask_transp",), [True, False, True]),
    ],
)
def test_masks_are_chosen_by_name(tmp_path, masks, second_row):
    _write(tmp_path)
    valid = ibims.ibims(str(tmp_path), masks).example(0, "depth").valid
    assert valid.tolist() == [[True, False, True], second_row]
    with pytest.raises(ValueError, match=r"ibims has masks \['edges'\]: choose from mask_invalid"):
        ibims.ibims(str(tmp_path), ["edges"])


@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (1,), (4, 4)])
def test_a_mask_of_another_size_is_refused(tmp_path, shape):
    _write(tmp_path, mask_transp=np.ones(shape, np.uint8))
    with pytest.raises(source.BadRecord, match=r"mask_transp of shape .*depth of \(2, 3\)"):
        ibims.ibims(str(tmp_path)).example(0, "depth")


def test_a_grey_picture_is_refused(tmp_path):
    _write(tmp_path, rgb=np.zeros((2, 3), np.uint8))
    with pytest.raises(source.BadRecord, match=r"corridor_01\.mat holds .*\(2, 3\)"):
        ibims.ibims(str(tmp_path)).example(0, "depth")


def test_missing_and_damaged(tmp_path):
    _write(tmp_path, depth=np.ones((5, 5)))
    with pytest.raises(source.BadRecord, match=r"damaged|one size|broadcast"):
        ibims.ibims(str(tmp_path)).example(0, "depth")
    (tmp_path / "imagelist.txt").write_text("corridor_01\noffice_02\noffice_03\n")
    (tmp_path / "ibims1_core_mat" / "office_03.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    read = ibims.ibims(str(tmp_path))
    with pytest.raises(source.BadRecord, match=r"office_02.*missing file"):
        read.example(1, "depth")
    with pytest.raises(source.BadRecord, match=r"office_03\.mat is damaged"):
        read.example(2, "depth")
    (tmp_path / "imagelist.txt").write_text("../secret\n")
    with pytest.raises(ValueError, match=r"leads out of"):
        ibims.ibims(str(tmp_path))
