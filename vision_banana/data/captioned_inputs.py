"""Pictures with captions as people have them: a folder, a WebDataset tar, a Parquet file.

Each gives its items in an order that never changes, and how many there are, so that a long job can
be interrupted and say how long it will take. Nothing is unpacked to disk, so no name in an archive
leads anywhere.
"""

import functools
import io
import json
import pathlib
import tarfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from etils import epath

from vision_banana.data import image_folder, on_disk, source

IMAGE_FIELD, CAPTION_FIELD = "image", "text"  # what most captioned Parquet files call them


class Item(NamedTuple):
    """A picture that is not read yet.

    Attributes:
      key: its name.
      read: the bytes of its file and its captions; raises BadRecord if there is no such thing.
    """

    key: str
    read: Callable[[], tuple[bytes, tuple[str, ...]]]


class Input(NamedTuple):
    """Where items come from: how many there are, and an iterator over them from the first on."""

    total: int
    items: Callable[[], Iterator[Item]]


def open_input(path: str, image: str = "", caption: str = "") -> Input:
    """Opens a folder, a `.tar` or a `.parquet` file.

    Args:
      path: what to read.
      image: which part of an item is its picture: the ending of a tar's members ("jpg"), the
        column of a Parquet file; "" means the only picture, or the column "image".
      caption: the same of the caption: the ending ("txt", or "json" with `text` or `caption` in
        it), or the column; "" means whichever of these there is, or the column "text".

    Raises:
      ValueError: it is nothing of the kind, or damaged, or a Parquet file without the column of
        pictures or the column of captions that was named.
    """
    place = pathlib.Path(path)
    if place.is_dir():
        return _folder(place)
    if not place.is_file():
        raise ValueError(f"{path} is not there: name a folder, a .tar or a .parquet file")
    if place.suffix == ".tar":
        return _tar(place, image, caption)
    if place.suffix == ".parquet":
        return _parquet(place, image or IMAGE_FIELD, caption)
    raise ValueError(f"{path} is no folder, .tar or .parquet file: convert it to one of them")


def _folder(folder: pathlib.Path) -> Input:
    listed = image_folder.listing(str(folder))

    def items() -> Iterator[Item]:
        for file, captions in listed:
            key = str(file.relative_to(folder))
            yield Item(key, functools.partial(_read_file, key, file, captions))

    return Input(len(listed), items)


def _read_file(key: str, file: epath.Path, captions: list[str]) -> tuple[bytes, tuple[str, ...]]:
    with on_disk.bad_record(key):
        return file.read_bytes(), tuple(captions) or (image_folder.sidecar(file),)


def _tar(path: pathlib.Path, image: str, caption: str) -> Input:
    """WebDataset: members that share a name up to its first dot are one item."""
    members: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isfile():
                    folder, _, name = member.name.rpartition("/")
                    stem, _, ending = name.partition(".")
                    members.setdefault(f"{folder}/{stem}".lstrip("/"), {})[ending] = member
        with path.open("rb") as file:
            file.seek(-min(512, path.stat().st_size), io.SEEK_END)
            if file.read().strip(b"\0"):
                raise tarfile.ReadError("it has no end")
    except tarfile.TarError as e:
        raise ValueError(
            f"{path} is no uncompressed tar, or half-downloaded ({e}): fetch it again, or gunzip it"
        ) from e

    def items() -> Iterator[Item]:
        with tarfile.open(path, "r:") as tar:
            for key, parts in members.items():
                yield Item(key, functools.partial(_member, tar, key, parts, image, caption))

    return Input(len(members), items)


def _member(
    tar: tarfile.TarFile, key: str, parts: dict[str, tarfile.TarInfo], image: str, caption: str
) -> tuple[bytes, tuple[str, ...]]:
    shown = [image] if image else [x for x in parts if f".{x.lower()}" in image_folder.PICTURES]
    if len(shown) != 1 or shown[0] not in parts:
        raise source.BadRecord(key, f"not one picture: the item has {sorted(parts)}")

    def data(ending: str) -> bytes:
        file = tar.extractfile(parts[ending])
        assert file is not None  # only files are listed
        return file.read()

    captions: tuple[str, ...] = ()
    for ending in [caption] if caption else ["txt", "json"]:
        if ending in parts and not captions:
            try:
                text = data(ending).decode("utf-8")
                captions = _texts(json.loads(text) if ending == "json" else text)
            except ValueError as e:
                raise source.BadRecord(key, f"unreadable caption: {e}") from e
    return data(shown[0]), captions


def _texts(row: Any) -> tuple[str, ...]:
    """The captions in a JSON object, a file or a table's cell: the texts that are not blank."""
    if isinstance(row, dict):
        row = row.get("text", row.get("caption"))
    found = [row] if isinstance(row, str) else row if isinstance(row, list) else []
    return tuple(text for text in found if isinstance(text, str) and text.strip())


def _parquet(path: pathlib.Path, image: str, caption: str) -> Input:
    """Pictures as bytes, or as {"bytes": ...}, the form of Hugging Face's data sets."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as e:
        raise ImportError(
            f"reading {path} needs pyarrow: pip install 'vision-banana[parquet]'"
        ) from e
    try:
        table = parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as e:
        raise ValueError(f"{path} is no Parquet file, or half-downloaded: {e}") from e
    columns = table.schema_arrow.names
    for column, what in ((image, "pictures"), (caption, "captions")):
        if column and column not in columns:
            raise ValueError(f"{path} has no column {column!r} of {what}: name one of {columns}")
    caption = caption or CAPTION_FIELD  # this one need not be there
    wanted = [image, caption] if caption in columns else [image]

    def items() -> Iterator[Item]:
        number = 0
        for batch in table.iter_batches(batch_size=16, columns=wanted):
            for row in batch.to_pylist():
                key = f"{path.stem}/{number}"
                cells = functools.partial(_cells, key, row.get(image), row.get(caption))
                yield Item(key, cells)
                number += 1

    return Input(table.metadata.num_rows, items)


def _cells(key: str, image: Any, caption: Any) -> tuple[bytes, tuple[str, ...]]:
    data = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(data, bytes):
        raise source.BadRecord(key, f"no picture: the cell holds {type(data).__name__}")
    return data, _texts(caption)
