import errno
import functools
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from vision_banana.data import on_disk, source


def _png(path, size=(4, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (51, 102, 204)).save(path)
    return path


def _set(folder, label=(3, 4), name="a"):
    record = on_disk.Record(name, folder / "a.png", {"depth": (folder / "a.npy",)}, {"metres": 2.0})

    def depth(record, picture):
        on_disk.array(record.truth["depth"][0])
        return np.full(label, record.entry["metres"], np.float32), np.ones(label, bool), {"w": 1}

    return on_disk.OnDisk("tiny", [record], {"depth": depth})


def test_a_record_becomes_an_example(tmp_path):
    _png(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    read = _set(tmp_path)
    assert len(read) == 1 and read.tasks == ("depth",) and read.key(0) == "tiny/a"
    assert read.files(0, "depth") == (tmp_path / "a.png", tmp_path / "a.npy")
    example = read.example(0, "depth")
    assert (example.task, example.key, dict(example.words)) == ("depth", "tiny/a", {"w": 1})
    np.testing.assert_allclose(example.references[0][0, 0], [0.2, 0.4, 0.8])
    assert (example.label == 2).all() and example.valid.all()


def test_records_in_a_row_decode_their_picture_once(tmp_path, monkeypatch):
    _png(tmp_path / "a.png")
    records = [on_disk.Record(name, tmp_path / "a.png", {}, {}) for name in "ab"]
    label = np.zeros((3, 4), np.float32), np.ones((3, 4), bool), {}
    read = on_disk.OnDisk("tiny", records, {"depth": lambda record, picture: label})
    decoded, real = [], on_disk._read.__wrapped__
    counted = functools.lru_cache(maxsize=1)(lambda *a: decoded.append(a) or real(*a))
    monkeypatch.setattr(on_disk, "_read", counted)
    first, second = (read.example(i, "depth").references[0] for i in range(2))
    assert first is second and len(decoded) == 1
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")  # another picture of that name
    assert not on_disk.read_picture(records[0]).any()


def test_whatever_is_wrong_names_the_record(tmp_path):
    read = _set(tmp_path)
    with pytest.raises(source.BadRecord, match=r"tiny/a.*missing file: .*a\.png"):
        read.example(0, "depth")
    _png(tmp_path / "a.png")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(source.BadRecord, match=r"a\.npy is truncated"):
        read.example(0, "depth")
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    with pytest.raises(source.BadRecord, match=r"\(3, 4\).*\(5, 4\).*one size"):
        _set(tmp_path, label=(5, 4)).example(0, "depth")
    with pytest.raises(IndexError, match=r"index 1 is outside 0 \.\. 0"):
        read.example(1, "depth")
    with pytest.raises(ValueError, match=r"cannot answer 'x'"):
        read.example(0, "x")
    with pytest.raises(ValueError, match=r"none has no records"):
        on_disk.OnDisk("none", [], {})


def test_arrays_are_read_without_pickle_and_within_bounds(tmp_path, monkeypatch):
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"o\.npy is truncated or no plain array"):
        on_disk.array(tmp_path / "o.npy")
    np.save(tmp_path / "a.npy", np.arange(12.0).reshape(3, 4))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "half.npy").write_bytes(data[:-8])
    with pytest.raises(ValueError, match=r"half\.npy is truncated"):
        on_disk.array(tmp_path / "half.npy")
    assert on_disk.array(tmp_path / "a.npy")[2, 3] == 11
    monkeypatch.setattr(on_disk.pictures, "MAX_PIXELS", 11)
    with pytest.raises(ValueError, match=r"more than 11 pixels"):
        on_disk.array(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("place", "byte"),
    [(slice(0, 8), b"PK\x03\x04half"), (10, b"("), (10, b"\x00"), (8, b"\xff"), (21, b"\xff")],
)
def test_broken_bytes_of_an_arrays_header_are_a_bad_record(tmp_path, place, byte):
    """NumPy answers each with an error of another kind: of zip files, of the tokenizer, ..."""
    _png(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    data = bytearray((tmp_path / "a.npy").read_bytes())
    data[place if isinstance(place, slice) else slice(place, place + 1)] = byte
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(source.BadRecord, match=r"tiny/a.*a\.npy is truncated or no plain array"):
        _set(tmp_path).example(0, "depth")


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "a/../../b.png"])
def test_an_index_cannot_lead_out_of_its_folder(name):
    with pytest.raises(ValueError, match=r"leads out of"):
        on_disk.inside(pathlib.Path("data"), name)


def test_indices_and_places(tmp_path):
    assert on_disk.inside(tmp_path, "a/b.png") == tmp_path / "a" / "b.png"
    (tmp_path / "t.json").write_text(json.dumps([1])[:-1])
    with pytest.raises(ValueError, match=r"t\.json is no JSON, it may be half-downloaded"):
        on_disk.table(tmp_path / "t.json")
    with pytest.raises(ValueError, match=r"u\.json is missing"):
        on_disk.file(str(tmp_path), "u.json")
    with pytest.raises(ValueError, match=r"v is not a folder"):
        on_disk.folder(str(tmp_path), "v")
    with pytest.raises(ImportError, match=r"needs nothing_of_that_name.*\[benchmarks\]"):
        on_disk.library("nothing_of_that_name.part")


@pytest.mark.parametrize(
    "error", [AttributeError("lower"), OverflowError("long"), RuntimeError("link"), KeyError("a")]
)
def test_what_damaged_files_make_libraries_raise_is_a_bad_record(tmp_path, error):
    def depth(record, picture):
        raise error

    record = on_disk.Record("a", _png(tmp_path / "a.png"), {})
    with pytest.raises(source.BadRecord, match=rf"x/a.*damaged file: {type(error).__name__}"):
        on_disk.OnDisk("x", [record], {"depth": depth}).example(0, "depth")


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "said") for number in (errno.EIO, errno.ESTALE, errno.EACCES)),
        TimeoutError("a bucket"),
        OSError("Forbidden: gs://bucket/a.png"),
        ValueError("unreadable picture: Bad Request: gs://bucket/a.png"),
        RuntimeError("pread() failed: Input/output error; reading a.array_record"),
        RuntimeError("open() failed: Stale file handle; opening a.array_record"),
    ],
    ids=str,
)
def test_an_error_that_may_pass_replaces_no_record(error):
    """Or batch k would depend on how a disk felt when it was read."""
    told = pytest.raises(OSError, match=r"record x/a cannot be read now: ")
    with told as caught, on_disk.bad_record("x/a"):
        raise error
    assert str(error) in str(caught.value) and caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, "said") for number in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)),
        FileNotFoundError("gs://bucket/a.png"),
        OSError("truncated file: eof = 5"),  # h5py
        RuntimeError("Corrupted Riegeli/records file: block header hash mismatch"),
        RuntimeError("open() failed: No such file or directory; opening a.array_record"),
    ],
    ids=str,
)
def test_files_that_are_missing_or_damaged_are_bad_records(error):
    with pytest.raises(source.BadRecord) as caught, on_disk.bad_record("x/a"):
        raise error
    assert caught.value.key == "x/a" and "None" not in caught.value.reason


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 4), (5, 4, 3)])
def test_no_reader_gives_a_picture_that_is_none_or_too_large(tmp_path, monkeypatch, shape):
    monkeypatch.setattr(on_disk.pictures, "MAX_PIXELS", 19)
    record = on_disk.Record("a", tmp_path / "a.mat", {})
    known = np.ones(shape[:2], np.float32), np.ones(shape[:2], bool), {}
    read = on_disk.OnDisk("x", [record], {"depth": lambda *_: known}, lambda _: np.zeros(shape))
    with pytest.raises(source.BadRecord, match=rf"a\.mat holds .*{shape[0]}, 4.*of 19 pixels"):
        read.example(0, "depth")
