import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from vision_banana.data import dsine_normals, pictures, samples, source

cv2 = pytest.importorskip("cv2")


def _write(root, dataset, name, code, end):
    place = root / dataset / name
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", code.shape[1::-1]).save(f"{place}_img.{end}")
    cv2.imwrite(f"{place}_normal.png", np.ascontiguousarray(code[..., ::-1]))


def test_axes_by_hand(tmp_path):
    # Pinkish red faces left, light green up, light blue the camera; black is unknown.
    code = np.array([[(255, 128, 128), (128, 255, 128), (128, 128, 255), (0, 0, 0)]], np.uint8)
    _write(tmp_path, "nyuv2", "test/000000", code, "png")
    _write(tmp_path, "nyuv2", "train/000001", code, "png")
    read = dsine_normals.dsine_normals(str(tmp_path), "nyuv2")
    assert len(read) == 1 and read.key(0) == "dsine/nyuv2/test/000000"
    example = read.example(0, "surface_normals")
    expected = [[-1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(example.label[0], expected, atol=0.005)
    assert example.valid.tolist() == [[True, True, True, False]]
    np.testing.assert_allclose(np.linalg.norm(example.label[0, :3], axis=-1), 1, atol=1e-6)


def test_all_16_bits_count(tmp_path):
    # 32868 and 32768 share their high byte; of a grey of 16 bits, low bytes decide.
    code = np.array([[(32768, 32768, 65535), (32868, 32768, 65535)]], np.uint16)
    _write(tmp_path, "vkitti", "Scene01/000000", code, "jpg")
    n = dsine_normals.dsine_normals(str(tmp_path), "vkitti").example(0, "surface_normals").label[0]
    assert n[0, 0] == pytest.approx(-1 / 65535, abs=1e-6)
    assert n[1, 0] == pytest.approx(-201 / 65535, abs=1e-6)


def test_each_set_lies_as_the_bundle_has_it(tmp_path):
    code = np.full((1, 1, 3), 200, np.uint8)
    _write(tmp_path, "scannet", "scene0532_00/000000", code, "png")
    _write(tmp_path, "vkitti", "Scene20/000199", code, "jpg")
    for dataset in ("scannet", "vkitti"):
        assert len(dsine_normals.dsine_normals(str(tmp_path), dataset)) == 1
    with pytest.raises(ValueError, match=r"unknown set 'sintel'"):
        dsine_normals.dsine_normals(str(tmp_path), "sintel")
    Image.new("L", (1, 1)).save(tmp_path / "scannet/scene0532_00/000000_normal.png")
    with pytest.raises(source.BadRecord, match=r"colour mode L; codes need three channels"):
        dsine_normals.dsine_normals(str(tmp_path), "scannet").example(0, "surface_normals")


def test_the_axes_agree_with_real_depth():
    """DSINE's own example frame: its code against normals from the frame's depth."""
    place = os.environ.get(samples.VARIABLE)
    if not place:
        pytest.skip(f"{samples.VARIABLE} is not set: it names the folder of the sample sets")
    folder = pathlib.Path(place) / "tartanair-1" / "dev"
    record = dsine_normals.on_disk.Record(
        "0", folder / "0_rgb.png", {"surface_normals": (folder / "0_normal.png",)}
    )
    read = dsine_normals.on_disk.OnDisk("x", [record], {"surface_normals": dsine_normals._normals})
    label = read.example(0, "surface_normals").label
    with np.load(folder / "0_depth_m.npz") as file:
        depth = file[file.files[0]].astype(np.float64)
    v, u = np.mgrid[:480, :640]
    points = (
        np.stack([(u - 319.5) / 320, (239.5 - v) / 320, -np.ones_like(u)], -1) * depth[..., None]
    )
    across = points[1:-1, 2:] - points[1:-1, :-2]
    up = points[:-2, 1:-1] - points[2:, 1:-1]
    n = np.cross(across, up)  # right x up is towards the camera
    n /= np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-12)
    near = (depth[1:-1, 1:-1] > 0) & (depth[1:-1, 1:-1] < 20)
    assert near.sum() > 10000
    assert np.median((n * label[1:-1, 1:-1]).sum(-1)[near]) > 0.95
    # Its PNG has 16 bits, of which a plain reader sees the high ones.
    high = pictures.read(folder / "0_normal.png")
    fine = pictures.read_codes(folder / "0_normal.png")
    assert 0.001 < np.abs(high - fine).max() < 1 / 255
