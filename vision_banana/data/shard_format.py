"""Pictures with captions and outlined phrases in ArrayRecord shards: packing, writing, listing.

A folder of shards holds

    shards.json            what it is made from; `finished` once the last shard is whole
    00000.arrayrecord      records, each read by itself
    00000.json             written when the shard beside it is whole: its records, its size, how
                           many items of the input it has used up, and which of them were bad
    bad.jsonl              at the end, all bad items with their reasons

A shard grows under another name and is renamed when it is closed, so an interrupted run leaves
nothing that looks whole and is not; the next one goes on behind the last whole shard. The folder
may lie in a bucket (gs://...): ArrayRecord itself reads records there, and a shard grows in a local
folder until it is copied.
"""

import collections
import dataclasses
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import grain
import msgpack
from array_record.python import array_record_module
from etils import epath

from vision_banana.data import source

INDEX = "shards.json"
BAD = "bad.jsonl"
VERSION = 1

Pending = Callable[[], "Record"]  # makes a record, or raises BadRecord


class Region(NamedTuple):
    """A phrase and what it means in a picture.

    Attributes:
      phrase: "zebra", "the cup on the left".
      masks: COCO's compressed run lengths, one for each instance, {"size": [H, W], "counts": ...}.
    """

    phrase: str
    masks: tuple[Mapping[str, Any], ...]


class Record(NamedTuple):
    """A picture and what is known of it.

    Attributes:
      key: its name in the input.
      image: the bytes of a picture file, as they were.
      captions: what it shows, zero or more texts.
      regions: what phrases mean in it, zero or more.
    """

    key: str
    image: bytes
    captions: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()


class Shard(NamedTuple):
    """A whole shard: its file, how many records it has, and how many items it has used up."""

    path: epath.Path
    records: int
    items: int


class Summary(NamedTuple):
    """What a finished folder holds.

    Attributes:
      records: how many.
      captioned: how many have a caption.
      outlined: how many have an outlined phrase.
      bad: reason (its part before a colon) -> how many items it has kept out.
    """

    records: int
    captioned: int
    outlined: int
    bad: Mapping[str, int]


def pack(record: Record) -> bytes:
    """A record as a msgpack map, which runs no code when it is read."""
    regions = [{"phrase": r.phrase, "masks": [dict(m) for m in r.masks]} for r in record.regions]
    return msgpack.packb({**record._asdict(), "regions": regions})


def unpack(data: bytes) -> Record:
    """Reads a record.

    Raises:
      ValueError: it is no record of this format.
    """
    try:
        row = msgpack.unpackb(data)
        regions = tuple(Region(r["phrase"], tuple(r["masks"])) for r in row["regions"])
        return Record(row["key"], row["image"], tuple(row["captions"]), regions)
    except Exception as e:  # msgpack raises errors of several families
        raise ValueError(f"a record of {len(data)} bytes cannot be read: {e!r}") from e


def shards(folder: str | os.PathLike[str]) -> list[Shard]:
    """The whole shards of a folder, in order; one whose size is not as noted is an error."""
    found: list[Shard] = []
    while (note := epath.Path(folder) / f"{len(found):05d}.json").exists():
        row = json.loads(note.read_text("utf-8"))
        path = note.with_suffix(".arrayrecord")
        size = path.stat().length if path.exists() else 0
        if size != row["bytes"]:
            raise ValueError(
                f"{path} has {size} bytes and {note.name} says {row['bytes']}: it was damaged "
                "after it was written; copy it again, or delete the folder and prepare it again"
            )
        found.append(Shard(path, row["records"], row["items"]))
    return found


@dataclasses.dataclass(frozen=True)
class _File:
    """A shard as ArrayRecord's reader takes it; with its length known, it is opened when used."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


def folders(path: str | os.PathLike[str]) -> list[epath.Path]:
    """The folders of shards in a folder, in order; the folder itself may be one."""
    top = epath.Path(path)
    return sorted(_indexed(top)) or [top]


def _indexed(folder: epath.Path) -> Iterator[epath.Path]:
    """A folder of shards itself, or those in it at any depth; buckets have no recursive glob."""
    if (folder / INDEX).exists():
        yield folder
    elif folder.is_dir():
        for inside in folder.iterdir():
            yield from _indexed(inside)


def open_records(path: str | os.PathLike[str]) -> Sequence[bytes]:
    """All packed records of the folders of shards in a folder, each read when it is asked for.

    Raises:
      ValueError: no finished shards, damaged ones, or fewer than were finished.
    """
    found: list[Shard] = []
    for folder in folders(path):
        whole, finished = shards(folder), summary(folder).records
        there = sum(shard.records for shard in whole)
        if there != finished:  # a lost note ends the list early
            raise ValueError(
                f"the shards in {folder} have {there} records and {INDEX} says {finished}: copy "
                "the folder again, the notes NNNNN.json with it"
            )
        found += [shard for shard in whole if shard.records]
    return grain.sources.ArrayRecordDataSource(
        [_File(str(shard.path), 0, shard.records, shard.records) for shard in found]
    )


def summary(folder: str | os.PathLike[str]) -> Summary:
    """What a finished folder holds; ValueError if it is none, or not finished."""
    index = _index(epath.Path(folder))
    if not index:
        raise ValueError(
            f"{folder} has no {INDEX}: it is no folder of shards; make one with "
            "python -m vision_banana.data.prepare"
        )
    if not index["finished"]:
        raise ValueError(
            f"the shards in {folder} are not finished: the command that was interrupted goes on "
            "where it stopped"
        )
    return Summary(**{name: index[name] for name in Summary._fields})


def write(
    folder: str | os.PathLike[str],
    items: Iterable[Pending],
    origin: Mapping[str, Any],
    shard_bytes: int,
    progress: Callable[[Iterable[Pending], int], Iterable[Pending]] = lambda items, done: items,
) -> Summary:
    """Writes records into shards, behind those that an interrupted run has finished.

    Args:
      folder: made if need be.
      items: what makes each record, always in the same order; it raises `BadRecord` for an item
        that cannot be used.
      origin: what the items come from, JSON; a folder that was begun from something else is not
        gone on with.
      shard_bytes: a shard is closed once its pictures reach this size.
      progress: wraps the items that are left, given how many are done.

    Raises:
      ValueError: the folder holds shards of another origin, or damaged ones.
    """
    place = epath.Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    begun = _index(place)
    if begun and begun["origin"] != origin:
        raise ValueError(
            f"{folder} was begun from {begun['origin']} and is now asked for {dict(origin)}: name "
            "another folder, or delete this one"
        )
    if begun and begun["finished"]:
        print(
            f"{folder} was finished before and stays as it is, whatever has changed in what it was "
            "made from: to make it anew, delete it first"
        )
        return summary(folder)
    _note(place / INDEX, {"version": VERSION, "origin": origin, "finished": False})
    done = sum(shard.items for shard in shards(folder))
    shard = _Open(place, len(shards(folder)))
    for make in progress(itertools.islice(items, done, None), done):
        shard.items += 1
        try:
            shard.add(make())
        except source.BadRecord as e:
            shard.bad.append((e.key, e.reason))
        if shard.bytes >= shard_bytes:
            shard.close()
            shard = _Open(place, shard.number + 1)
    shard.close()
    return _finish(place, origin)


class _Open:
    """A shard that grows."""

    def __init__(self, folder: epath.Path, number: int) -> None:
        self.number = number
        self.items = self.bytes = 0
        self.bad: list[tuple[str, str]] = []
        self._counts: collections.Counter[str] = collections.Counter()
        self._path = folder / f"{number:05d}.arrayrecord"
        self._part = self._path.with_suffix(".part")
        if _in_bucket(folder):  # ArrayRecord reads there and cannot write
            self._local = tempfile.TemporaryDirectory()
            self._part = epath.Path(self._local.name) / self._path.name
        self._writer: Any = None

    def add(self, record: Record) -> None:
        if self._writer is None:  # a file without records is never made
            self._writer = array_record_module.ArrayRecordWriter(str(self._part), "group_size:1")
        data = pack(record)
        self._writer.write(data)
        self.bytes += len(data)
        self._counts["records"] += 1
        self._counts["captioned"] += bool(record.captions)
        self._counts["outlined"] += bool(record.regions)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            if _in_bucket(self._path):
                self._part.copy(self._path, overwrite=True)
                self._local.cleanup()
            else:
                self._part.replace(self._path)
        elif not self.items:
            return
        size = self._path.stat().length if self._writer is not None else 0
        counts = {name: self._counts[name] for name in ("records", "captioned", "outlined")}
        note = {**counts, "items": self.items, "bytes": size, "bad": self.bad}
        _note(self._path.with_suffix(".json"), note)


def _finish(folder: epath.Path, origin: Mapping[str, Any]) -> Summary:
    notes = [
        json.loads(shard.path.with_suffix(".json").read_text("utf-8")) for shard in shards(folder)
    ]
    bad = [row for note in notes for row in note["bad"]]
    lines = (json.dumps({"key": key, "reason": reason}) for key, reason in bad)
    (folder / BAD).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    reasons = collections.Counter(reason.partition(":")[0] for _, reason in bad)
    names = ("records", "captioned", "outlined")
    totals = {name: sum(note[name] for note in notes) for name in names}
    index = {"version": VERSION, "origin": origin, "finished": True, **totals, "bad": reasons}
    _note(folder / INDEX, index)
    return summary(folder)


def _index(folder: epath.Path) -> dict[str, Any]:
    path = folder / INDEX
    if not path.exists():
        return {}
    index = json.loads(path.read_text("utf-8"))
    if index["version"] != VERSION:
        raise ValueError(f"{path} has version {index['version']}: this code reads {VERSION}")
    return index


def _note(path: epath.Path, row: Mapping[str, Any]) -> None:
    """Writes JSON so that a kill leaves the old file or the new one, never a part."""
    if _in_bucket(path):
        path.write_text(json.dumps(row))  # an upload is whole or does not happen
        return
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(row), "utf-8")
    fresh.replace(path)


def place_of(path: str | os.PathLike[str]) -> str:
    """A path as an origin states it: absolute, or as it is in a bucket."""
    return str(path) if _in_bucket(path) else os.path.realpath(path)


def _in_bucket(path: str | os.PathLike[str]) -> bool:
    return "://" in str(path)
