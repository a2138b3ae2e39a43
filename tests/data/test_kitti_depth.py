import numpy as np
import pytest
from PIL import Image

from vision_banana.data import kitti_depth, source

DRIVE = "2011_09_26/2011_09_26_drive_0002_sync/image_02/data"
TRUTH = "2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02"


def _write(root, frame, depth, part="val"):
    """A frame of KITTI's size, in which red and green say row and column."""
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]]
    picture = np.stack([rows % 256, columns % 256, rows // 256 + 16 * (columns // 256)], -1)
    for folder, array in ((root / DRIVE, picture.astype(np.uint8)),
                          (root / part / TRUTH, depth.astype(np.uint16))):  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / f"{frame:010d}.png")
    with (root / "eigen_test_files_with_gt.txt").open("a") as file:
        file.write(f"{DRIVE}/{frame:010d}.png {TRUTH}/{frame:010d}.png 721.5377\n")


def test_the_benchmark_crop_is_bottom_and_middle(tmp_path):
    rows, columns = np.mgrid[:375, :1242]
    _write(tmp_path, 69, rows + 1)
    _write(tmp_path, 54, columns + 1, "train")
    read = kitti_depth.kitti_depth(str(tmp_path))
    down, across = (read.example(i, "depth") for i in range(2))
    assert down.label.shape == (352, 1216) and down.references[0].shape == (352, 1216, 3)
    # Rows 23 to 374, columns 13 to 1228.
    assert (down.label[0, 0] * 256, down.label[-1, -1] * 256) == (24, 375)
    assert (across.label[0, 0] * 256, across.label[-1, -1] * 256) == (14, 1229)
    corner = np.rint(down.references[0] * 255).astype(int)
    assert corner[0, 0].tolist() == [23, 13, 0] and corner[-1, -1].tolist() == [118, 204, 65]


def test_another_height_and_an_odd_width():
    grid = np.mgrid[:370, :1227][1]
    cut = kitti_depth.benchmark_crop(grid)
    assert cut.shape == (352, 1216) and (cut[0, 0], cut[0, -1]) == (5, 1220)
    with pytest.raises(ValueError, match=r"351 x 1216, smaller than 352 x 1216"):
        kitti_depth.benchmark_crop(np.zeros((351, 1216)))


def test_metres_are_units_over_256_and_0_is_none(tmp_path):
    depth = np.zeros((352, 1216))
    depth[5, 7], depth[8, 9] = 256 * 12 + 128, 65535
    _write(tmp_path, 1, depth)
    example = kitti_depth.kitti_depth(str(tmp_path)).example(0, "depth")
    assert example.label[5, 7] == 12.5 and example.label[8, 9] == pytest.approx(255.996, abs=1e-3)
    assert example.valid.sum() == 2


def test_lines_without_truth_are_not_records(tmp_path):
    _write(tmp_path, 1, np.ones((352, 1216)))
    listed = tmp_path / "eigen_test_files_with_gt.txt"
    listed.write_text(f"{listed.read_text()}{DRIVE}/0000000002.png None 721.5377\n")
    assert len(kitti_depth.kitti_depth(str(tmp_path))) == 1
    listed.write_text("one\n")
    with pytest.raises(ValueError, match=r"line 1 is 'one'"):
        kitti_depth.kitti_depth(str(tmp_path))
    listed.write_text(f"{DRIVE}/../../../../x.png {TRUTH}/1.png 7\n")
    with pytest.raises(ValueError, match=r"leads out of"):
        kitti_depth.kitti_depth(str(tmp_path))


def test_depth_of_8_bits_is_refused(tmp_path):
    _write(tmp_path, 1, np.ones((352, 1216)))
    Image.new("L", (1216, 352), 9).save(tmp_path / "val" / TRUTH / "0000000001.png")
    with pytest.raises(source.BadRecord, match=r"colour mode L; depth needs 16-bit"):
        kitti_depth.kitti_depth(str(tmp_path)).example(0, "depth")


def test_a_truth_of_another_size_is_refused_though_both_can_be_cut(tmp_path):
    _write(tmp_path, 1, np.ones((375, 1242)))
    path = tmp_path / "val" / TRUTH / "0000000001.png"
    Image.fromarray(np.ones((370, 1226), np.uint16)).save(path)
    with pytest.raises(source.BadRecord, match=r"\(370, 1226\) and the picture \(375, 1242\)"):
        kitti_depth.kitti_depth(str(tmp_path)).example(0, "depth")


def test_a_list_that_is_no_text_is_named(tmp_path):
    (tmp_path / "eigen_test_files_with_gt.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"eigen_test_files_with_gt\.txt has not the form"):
        kitti_depth.kitti_depth(str(tmp_path))
