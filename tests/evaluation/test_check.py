import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vision_banana import evaluate
from vision_banana.data import nuscenes_depth, on_disk
from vision_banana.evaluation import benchmarks, check
from vision_banana.tasks.task import Example


def _row(name, records):
    return benchmarks.BENCHMARKS[name]._replace(records=records)


def _cityscapes(root, count=3):
    for i in range(count):
        for part, end in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
            folder = root / part / "val" / "ulm"
            folder.mkdir(parents=True, exist_ok=True)
            shape = (6, 8) if part == "gtFine" else (6, 8, 3)
            picture = Image.fromarray(np.full(shape, 7, np.uint8))
            picture.save(folder / f"ulm_{i:06d}_000019_{end}.png")
    return root


def _diode(root, count=4, metres=3.0, signs=(1, 1, 1)):
    """A floor below, a ceiling above, walls left and right; what is seen faces the camera."""
    place = root / "val/indoors/scene_00019/scan_00183"
    place.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (12, 10)).save(place / f"{i}.png")
        np.save(place / f"{i}_depth.npy", np.full((10, 12, 1), metres, np.float32))
        np.save(place / f"{i}_depth_mask.npy", np.ones((10, 12), np.float32))
        normals = np.zeros((10, 12, 3), np.float32)
        normals[:] = 0, -0.8, 0.6
        normals[5:] = 0, 0.8, 0.6
        normals[:, :2] = 0.8, 0, 0.6
        normals[:, -2:] = -0.8, 0, 0.6
        np.save(place / f"{i}_normal.npy", normals * np.array(signs, np.float32))
    return place


def test_a_whole_set_has_no_problems(tmp_path):
    report = check.check(_row("cityscapes", 3), str(_cityscapes(tmp_path)))
    assert report.problems == ()
    assert report.seen == "3 records, 6 files, 3 records read in full"
    _diode(tmp_path)
    for name in ("diode_depth", "diode_normals"):
        assert check.check(_row(name, 4), str(tmp_path)).problems == ()


def test_missing_and_truncated_files_are_counted_and_named(tmp_path):
    _cityscapes(tmp_path)
    truth = tmp_path / "gtFine/val/ulm"
    (truth / "ulm_000000_000019_gtFine_labelIds.png").unlink()
    half = truth / "ulm_000001_000019_gtFine_labelIds.png"
    half.write_bytes(half.read_bytes()[:-3])
    shown = tmp_path / "leftImg8bit/val/ulm/ulm_000002_000019_leftImg8bit.png"
    shown.write_bytes(b"")
    (tmp_path / "gtFine.zip").write_bytes(b"PK\x03\x04 the beginning of an archive")
    report = check.check(_row("cityscapes", 500), str(tmp_path))
    text = "\n".join(report.problems)
    assert "gtFine.zip is damaged or half-downloaded" in text
    assert "3 records, and the benchmark has 500" in text
    assert "files: 1 x missing: " in text and "ulm_000000_000019_gtFine_labelIds.png" in text
    assert f"files: 1 x truncated PNG: {half}" in text
    assert f"files: 1 x empty: {shown}" in text


def test_more_than_a_few_names_are_counted(tmp_path):
    lines = check.by_reason("files", [(f"f{i}", "missing") for i in range(7)] + [("g", "empty")])
    assert lines == ["files: 7 x missing: f0, f1, f2, f3, f4 ...", "files: 1 x empty: g"]


def test_reasons_that_begin_alike_are_one_line():
    bad = [(f"r{i}", f"missing file: /data/{i}.png") for i in range(6)]
    lines = check.by_reason("depth", [*bad, ("s", "no pixel counts: {'crop': None}")])
    assert lines == [
        "depth: 6 x missing file: r0 (/data/0.png), r1 (/data/1.png), r2 (/data/2.png), "
        "r3 (/data/3.png), r4 (/data/4.png) ...",
        "depth: 1 x no pixel counts: {'crop': None}: s",
    ]


def test_ids_outside_the_table_and_masks_of_another_size(tmp_path):
    _cityscapes(tmp_path)
    truth = tmp_path / "gtFine/val/ulm"
    Image.new("L", (8, 6), 99).save(truth / "ulm_000000_000019_gtFine_labelIds.png")
    Image.new("L", (8, 5), 7).save(truth / "ulm_000001_000019_gtFine_labelIds.png")
    Image.new("L", (8, 6), 3).save(truth / "ulm_000002_000019_gtFine_labelIds.png")
    text = "\n".join(check.check(_row("cityscapes", 3), str(tmp_path)).problems)
    assert "id 99 at row 0, column 0" in text
    assert "must be of one size" in text
    assert "no pixel counts" in text  # all of it is ignored


def test_pairs_that_are_not_scored_are_released_all_the_same(tmp_path):
    """Of three pairs of SA-Co/Gold one is not flagged as exhaustive: the set is whole."""
    for folder in ("annotations", "metaclip-images"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "metaclip-images" / "p.jpg")
    pairs = [
        {"id": i, "file_name": "p.jpg", "text_input": f"cup {i}", "width": 8, "height": 6,
         "is_instance_exhaustive": i < 2}
        for i in range(3)
    ]  # fmt: skip
    for who in "abc":
        path = tmp_path / "annotations" / f"gold_attributes_merged_{who}_release_test.json"
        path.write_text(json.dumps({"images": pairs, "annotations": []}))
    report = check.check(_row("saco_gold_attributes", 3), str(tmp_path))
    assert report.problems == () and report.seen.startswith("2 records, ")
    (problem,) = check.check(_row("saco_gold_attributes", 9245), str(tmp_path)).problems
    assert problem == "3 records, and the benchmark has 9245"


@pytest.mark.parametrize("metres", [3.0 / 1000, 3.0 * 3.9])
def test_a_wrong_scale_factor_is_noticed(tmp_path, metres):
    _diode(tmp_path, metres=metres)
    (problem,) = check.check(_row("diode_depth", 4), str(tmp_path)).problems
    assert f"{metres:.3g} m, and this set's lies between 1 and 8" in problem


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_reversed_axis_is_noticed(tmp_path, axis):
    signs = [1, 1, 1]
    signs[axis] = -1
    _diode(tmp_path, signs=signs)
    (problem,) = check.check(_row("diode_normals", 4), str(tmp_path)).problems
    assert f"surface_normals: {'xyz'[axis]} points the wrong way in 4 records" in problem


def test_a_truncated_array_is_found_though_it_is_not_read(tmp_path, monkeypatch):
    place = _diode(tmp_path)
    monkeypatch.setattr(check, "READ", 1)
    path = place / "2_depth.npy"
    path.write_bytes(path.read_bytes()[:-4])
    (problem,) = check.check(_row("diode_depth", 4), str(tmp_path)).problems
    assert problem == f"files: 1 x truncated, or no plain array: {path}"


def test_a_folder_that_is_not_the_set(tmp_path):
    for name, row in benchmarks.BENCHMARKS.items():
        if row.training is None:
            report = check.check(row, str(tmp_path))
            assert report.seen == "the set cannot be opened" and report.problems, name


def test_the_command(tmp_path, capsys, monkeypatch):
    _cityscapes(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["--check", "cityscapes", "--data", str(tmp_path)])
    assert stopped.value.code == 1
    out = capsys.readouterr().out
    assert out.startswith("cityscapes: 3 records") and "the benchmark has 500" in out
    monkeypatch.setitem(benchmarks.BENCHMARKS, "cityscapes", _row("cityscapes", 3))
    evaluate.main(["--check", "cityscapes", "--data", str(tmp_path)])
    assert "nothing is missing or damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "metres"),
    [
        ("nyu_depth", 2.4), ("ibims", 3.7), ("eth3d", 5.5), ("diode_depth", 2.8),
        ("kitti_depth", 15.5), ("nuscenes_depth", 14.0),
    ],
)  # fmt: skip
def test_each_set_has_a_scale(name, metres):
    """A room, a street or a hall of that median depth is fine, and not at 3.9 times the scale."""
    typical_m = benchmarks.BENCHMARKS[name].typical_m

    def odd(median):
        label = np.full((2, 2), median, np.float32)
        return check._odd_scale([Example("depth", "x", (), label, label > 0, {})], typical_m)

    assert odd(metres) == []
    assert odd(3.9 * metres) and odd(metres / 3.9)


def _picture(kind):
    data = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(data, kind)
    return data.getvalue()


def _jpeg(thumbnail=b""):
    """A JPEG, the given bytes in its header."""
    whole = _picture("JPEG")
    segment = b"\xff\xe1" + (2 + len(thumbnail)).to_bytes(2, "big") + thumbnail
    return whole[:2] + segment + whole[2:] if thumbnail else whole


@pytest.mark.parametrize(
    ("data", "damage"),
    [
        (_jpeg(), ""),
        (_jpeg() + b"what a camera appends" * 9, ""),
        (_jpeg(_jpeg()), ""),
        (_jpeg()[:2] + b"\xff" + _jpeg()[2:], ""),  # a marker may be filled up
        (_jpeg()[:-2], "truncated JPEG"),
        (_jpeg(_jpeg())[:-2], "truncated JPEG"),  # its thumbnail ends, and it does not
        (_jpeg(_jpeg())[:400], "truncated JPEG"),  # cut in the thumbnail
        (_jpeg()[:200], "truncated JPEG"),
        (_jpeg()[:3], "truncated JPEG"),
        (_picture("PNG"), ""),  # a picture is what its bytes say
        (_picture("WEBP"), ""),
        (_picture("PNG")[:-1], "truncated PNG"),
        (b"<html>404 not found</html>", "no picture"),
        (bytes(5000), "no picture"),
        (bytes(5000) + check.PNG_END, "no picture"),
        (b"\x89PNG", "no picture"),
    ],
)
@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".jpeg", ".png"])
def test_a_picture_begins_and_ends_as_one(tmp_path, data, damage, ending):
    path = tmp_path / f"picture{ending}"
    path.write_bytes(data)
    assert check._damage(path) == damage


def test_raw_numbers_and_pictures_are_told_apart_by_the_reader(tmp_path, monkeypatch):
    """ETH3D names its raw depth after the pictures."""
    monkeypatch.setattr(check, "READ", 1)
    for part in ("images", "ground_truth_depth"):
        (tmp_path / "pipes" / part / "dslr_images").mkdir(parents=True)
    shown, truth = (
        tmp_path / "pipes" / part / "dslr_images" for part in ("images", "ground_truth_depth")
    )
    for i in range(5):
        Image.new("RGB", (6, 4)).save(shown / f"{i}.JPG")
        np.full((4, 6), 3, "<f4").tofile(truth / f"{i}.JPG")
    assert check.check(_row("eth3d", 5), str(tmp_path)).problems == ()
    (truth / "1.JPG").write_bytes(bytes(4 * 4 * 6 - 4))
    (truth / "2.JPG").write_bytes(bytes(4 * 5 * 6))
    (shown / "3.JPG").write_bytes(b"<html>404 not found</html>")
    (shown / "4.JPG").unlink()
    assert set(check.check(_row("eth3d", 5), str(tmp_path)).problems) == {
        f"files: 2 x raw numbers of another length: {truth}/1.JPG, {truth}/2.JPG",
        f"files: 1 x no picture: {shown}/3.JPG",
        f"files: 1 x missing: {shown}/4.JPG",
    }


@pytest.mark.parametrize(("length", "damage"), [(40, ""), (39, "raw"), (44, "raw"), (0, "empty")])
def test_points_of_a_laser_are_whole_ones(tmp_path, length, damage):
    path = tmp_path / "f0.pcd.bin"
    path.write_bytes(bytes(length))
    record = on_disk.Record("f0", None, {"depth": (path,)})
    read = on_disk.OnDisk("x", [record], {"depth": None}, raw={"depth": nuscenes_depth._is_whole})
    assert check._damage(path, read.raw(0, "depth", path))[: len("raw")] == damage[: len("raw")]
    assert read.raw(0, "depth", tmp_path / "f0.jpg") is None


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_files_are_followed_to_their_end(tmp_path, compressed):
    path = tmp_path / "room.mat"
    data = {"rgb": np.zeros((4, 5, 3), np.uint8), "depth": np.arange(20.0).reshape(4, 5)}
    savemat(path, {"data": data, "more": np.ones(3)}, do_compression=compressed)
    whole = path.read_bytes()
    assert check._damage(path) == ""
    for length in (4, 100, 128, 130, 200, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert check._damage(path) == "truncated, or no MATLAB file", length
    path.write_bytes(b"<html>404 not found</html>" * 20)
    assert check._damage(path) == "truncated, or no MATLAB file"


@pytest.mark.parametrize("block", [0, 512])  # what MATLAB writes before HDF5's own bytes
def test_matlab_files_of_hdf5_are_whole(tmp_path, block):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "labeled.mat"
    with h5py.File(path, "w", userblock_size=block) as file:
        file["images"] = np.zeros((30, 40), np.uint8)
    whole = path.read_bytes()
    assert check._damage(path) == ""
    path.write_bytes(whole[: len(whole) - 100])
    assert check._damage(path) == "truncated, or no MATLAB file"


def test_files_that_cannot_be_read_are_named_too(tmp_path, capsys, monkeypatch):
    place = _diode(tmp_path)
    (place / "1_depth.npy").write_bytes(b"PK\x03\x04 half of an archive")
    (place / "2.png").unlink()
    (place / "2.png").mkdir()
    problems = check.check(_row("diode_depth", 4), str(tmp_path)).problems
    assert f"files: 1 x truncated, or no plain array: {place}/1_depth.npy" in problems
    assert f"files: 1 x cannot be read (Is a directory): {place}/2.png" in problems

    def refused(*_):
        raise PermissionError(13, "Permission denied", "x.zip")

    monkeypatch.setattr(check, "check", refused)
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["--check", "diode_depth", "--data", str(tmp_path)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "evaluate: [Errno 13] Permission denied: 'x.zip'\n"


def test_half_a_truth_in_json_is_named(tmp_path):
    (tmp_path / "val").mkdir()
    truth = {"text": ["the cup”"], "is_sentence": True,
             "shapes": [{"label": "target", "points": [[1, 1], [5, 1], [5, 5]]}]}  # fmt: skip
    for i, encoding in enumerate(("utf-8", "cp1252", "utf-8")):
        (tmp_path / "val" / f"{i}.jpg").write_bytes(_jpeg())
        text = json.dumps(truth, ensure_ascii=False)
        (tmp_path / "val" / f"{i}.json").write_text(text, encoding)
    assert check.check(_row("reasonseg", 3), str(tmp_path)).problems == ()
    half = tmp_path / "val" / "2.json"
    half.write_bytes(half.read_bytes()[:-1])
    problems = check.check(_row("reasonseg", 3), str(tmp_path)).problems
    assert f"files: 1 x truncated, or no JSON: {half}" in problems


def _archived(ending):
    """An archive of a small file."""
    data = io.BytesIO()
    if ending == ".zip":
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("a.txt", "a" * 99)
    elif ending == ".7z":  # 12 bytes of signature and version, then where the contents stand
        said = (5).to_bytes(8, "little") + (7).to_bytes(8, "little")
        data.write(b"7z\xbc\xaf\x27\x1c" + bytes(6) + said + bytes(4 + 5 + 7))
    else:
        with tarfile.open(fileobj=data, mode="w" if ending == ".tar" else "w:gz") as archive:
            text = np.random.default_rng(0).bytes(12_000)
            file = tarfile.TarInfo("a.bin")
            file.size = len(text)
            archive.addfile(file, io.BytesIO(text))
    return data.getvalue()


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "A.TGZ", "a.7z", "b/a.zip"])
def test_archives_must_end_as_whole_ones_do(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = _archived(name[1:].lower() if "/" not in name else ".zip")
    path.write_bytes(whole)
    assert check._archives(tmp_path) == []
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        (problem,) = check._archives(tmp_path)
        assert problem == f"{path} is damaged or half-downloaded: fetch it again"


def test_archives_are_looked_for_one_level_down(tmp_path):
    """Of a folder of 100,000 pictures in folders of their own not every name is read for it."""
    for folder, problems in (("a", 1), ("b/c", 1)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "half.zip").write_bytes(b"PK")
        assert len(check._archives(tmp_path)) == problems


def test_an_index_that_is_not_as_released_is_one_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "genai_image.json").write_text("[1]")
    (tmp_path / "genai_skills.json").write_text("{}")
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["--check", "genai_bench", "--data", str(tmp_path)])
    assert stopped.value.code == 1
    said = capsys.readouterr().out
    assert "genai_image.json" in said and said.count("\n") == 2

    def contradicted(root, every):
        """As tables do whose tokens do not fit each other."""
        return {}["token"]

    monkeypatch.setattr(nuscenes_depth, "nuscenes_depth", contradicted)
    report = check.check(_row("nuscenes_depth", 3612), str(tmp_path))
    assert report.problems == (
        f"the files of nuscenes_depth in {tmp_path} are not as released (KeyError: 'token'): "
        "fetch them again",
    )
