"""Ways in which a record of captioned pictures is damaged, in every source that trains on them.

Each must be refused as a bad record with its key and a reason that can be counted, and the record
beside it must stay good.
"""

import sys
import types

import msgpack
import picture_files
import pytest

from vision_banana.data import image_folder, prepare, record_check, shards, source, tfds_captions

GOOD = picture_files.png((9, 8, 7))
# What becomes of the picture's bytes and of the caption's, None for absent, and the reason's kind.
WAYS = {
    "truncated picture": (GOOD[:40], b"a", "unreadable picture"),
    "empty picture": (b"", b"a", "unreadable picture"),
    "no picture at all": (b"<html>not found</html>", b"a", "unreadable picture"),
    "damaged header": (b"\x89PNG" + GOOD[30:], b"a", "unreadable picture"),
    "too large": (picture_files.png((1, 2, 3), (64, 64)), b"a", "unreadable picture"),
    "absent picture": (None, b"a", ""),
    "absent caption": (GOOD, None, ""),
    "empty caption": (GOOD, b"", "no caption"),
    "blank caption": (GOOD, b" \n ", "no caption"),
    "caption in another encoding": (GOOD, "caf\xe9".encode("latin-1"), "caption is no UTF-8"),
    "torn record": (RuntimeError("chunk of data is corrupted"), b"a", ""),
}
MAX_PIXELS = 1000


def folder(tmp_path, image, caption, monkeypatch):
    """A folder whose first picture is damaged; what is taken away goes once the folder is open."""
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(GOOD)
        (tmp_path / f"{name}.txt").write_text("good")
    picture, text = tmp_path / "a.png", tmp_path / "a.txt"
    text.unlink() if caption is None else text.write_bytes(caption)
    if isinstance(image, bytes):
        picture.write_bytes(image)
    opened = image_folder.ImageFolder(str(tmp_path), MAX_PIXELS)
    if image is None:
        picture.unlink()
    elif isinstance(image, Exception):
        picture.unlink()
        picture.mkdir()  # what was a file can no longer be read as one
    return opened


class Rows(list):
    """Rows of which one cannot be read."""

    def __getitem__(self, index):
        row = super().__getitem__(index)
        if isinstance(row, Exception):
            raise row
        return row


def tfds(tmp_path, image, caption, monkeypatch):
    """A set whose reader gives a damaged record and a good one."""
    damaged = {"image": image, "caption": caption}
    if caption is None:
        del damaged["caption"]
    rows = Rows([damaged, {"image": GOOD, "caption": b"good"}])
    if isinstance(image, Exception):
        rows[0] = image
    builder = types.SimpleNamespace(
        info=types.SimpleNamespace(features={"image": None, "caption": None}),
        as_data_source=lambda split, decoders: rows,
    )
    library = types.SimpleNamespace(
        builder=lambda *args, **options: builder,
        decode=types.SimpleNamespace(SkipDecoding=dict),
        core=types.SimpleNamespace(DatasetNotFoundError=ValueError),
    )
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", library)
    return tfds_captions.TfdsCaptions("any", max_pixels=MAX_PIXELS)


def packed(tmp_path, image, caption, monkeypatch):
    """Shards made of good pictures, in the first of whose records the damage is then put."""
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(GOOD)
        (tmp_path / f"{name}.txt").write_text("good")
    prepare.prepare([str(tmp_path)], str(tmp_path / "out"))
    opened = shards.Shards(str(tmp_path / "out"), max_pixels=MAX_PIXELS)
    row = msgpack.unpackb(opened._data[0]) | {"image": image, "captions": caption and [caption]}
    if isinstance(image, Exception):
        damaged = image
    else:  # text as msgpack's text, whatever bytes it has
        data = msgpack.Packer(use_bin_type=False)
        parts = [data.pack(name) + (msgpack.packb(x) if name == "image" else data.pack(x))
                 for name, x in row.items()]  # fmt: skip
        damaged = data.pack_map_header(len(row)) + b"".join(parts)
    opened._data = Rows([damaged, opened._data[1]])
    return opened


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [folder, tfds, packed])
def test_a_damaged_record_is_refused_and_its_neighbour_is_not(make, way, tmp_path, monkeypatch):
    image, caption, reason = WAYS[way]
    opened = make(tmp_path, image, caption, monkeypatch)

    def ask(index):
        example = opened.example(index, "image_generation")
        record_check.check(example, "image_generation")
        return example

    with pytest.raises(source.BadRecord) as refused:
        ask(0)
    assert refused.value.key.startswith(f"{opened.name}/")
    # A record of a shard is unpacked as a whole, and is no record with a caption of another kind.
    if make is not packed or "picture" in way:
        assert refused.value.reason.startswith(reason)
    assert ask(1).words["caption"] == "good"


@pytest.mark.parametrize("make", [tfds, packed])
@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), RuntimeError("pread() failed: Stale file handle")]
)
def test_an_error_of_the_disk_is_not_a_damaged_record(make, error, tmp_path, monkeypatch):
    opened = make(tmp_path, error, b"a", monkeypatch)
    with pytest.raises(OSError, match=r"record .*/.*0 cannot be read now: .*(Input/output|Stale)"):
        opened.example(0, "image_generation")


def test_a_sidecar_in_another_encoding_leaves_its_folder_open_to_prepare(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(GOOD)
    (tmp_path / "a.txt").write_bytes("caf\xe9".encode("latin-1"))
    (tmp_path / "b.txt").write_text("good")
    made = prepare.prepare([str(tmp_path)], str(tmp_path / "out"))
    assert made.records == 1 and made.bad == {"caption is no UTF-8": 1}
