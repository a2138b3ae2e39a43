import json

import pytest

from vision_banana.data import shard_format, source
from vision_banana.data.shard_format import Record, Region

MASK = {"size": [2, 3], "counts": "051"}


def _items(count, seen=None, stop=None):
    """Records 0, 1, ..., of which every fifth is bad; making number `stop` is interrupted."""

    def make(i):
        if i == stop:
            raise KeyboardInterrupt
        if seen is not None:
            seen.append(i)
        if i % 5 == 4:
            raise source.BadRecord(f"picture {i}", f"broken: item {i}")
        return Record(f"picture {i}", bytes([i]) * 50, (f"caption {i}",) if i else ())

    return [lambda i=i: make(i) for i in range(count)]


def _contents(folder):
    read = []
    for shard in shard_format.shards(folder):
        reader = shard_format.array_record_module.ArrayRecordReader(str(shard.path))
        read += [shard_format.unpack(data) for data in reader.read_all()]
        assert len(reader.read_all()) == shard.records
        reader.close()
    return read


def test_a_record_is_read_as_it_was_written():
    record = Record("a/b", b"\x00\xff", ("one", "zwei"), (Region("cat", (MASK, MASK)),))
    assert shard_format.unpack(shard_format.pack(record)) == record
    for damaged in (b"", shard_format.pack(record)[:-3], b"\x01"):
        with pytest.raises(ValueError, match=r"cannot be read"):
            shard_format.unpack(damaged)


def test_shards_are_closed_at_their_size_and_bad_items_listed(tmp_path):
    summary = shard_format.write(tmp_path, _items(12), {"from": "here"}, shard_bytes=300)
    assert summary == shard_format.Summary(10, 9, 0, {"broken": 2})
    assert shard_format.summary(tmp_path) == summary
    # A record is 50 bytes of picture and less than 50 of names: three or more fill a shard.
    shards = shard_format.shards(tmp_path)
    assert len(shards) > 1 and sum(s.items for s in shards) == 12
    assert [r.key for r in _contents(tmp_path)] == [
        f"picture {i}" for i in range(12) if i % 5 != 4
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == ["picture 4", "picture 9"]
    assert lines[1]["reason"] == "broken: item 9"
    assert not list(tmp_path.glob("*.part"))


def test_an_interrupted_run_goes_on_behind_the_last_whole_shard(tmp_path):
    whole = tmp_path / "whole"
    shard_format.write(whole, _items(23), {}, shard_bytes=300)
    cut = tmp_path / "cut"
    for stop in (11, 11, 18):  # the second time nothing new is finished
        with pytest.raises(KeyboardInterrupt):
            shard_format.write(cut, _items(23, stop=stop), {}, shard_bytes=300)
        assert list(cut.glob("*.part"))  # half a shard, under a name that no one reads
        assert all(shard.items for shard in shard_format.shards(cut))
        with pytest.raises(ValueError, match=r"not finished"):
            shard_format.summary(cut)
    done = sum(shard.items for shard in shard_format.shards(cut))
    assert 11 <= done < 18
    seen = []
    assert shard_format.write(cut, _items(23, seen), {}, 300) == shard_format.summary(whole)
    assert seen == list(range(done, 23))
    assert _contents(cut) == _contents(whole)
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in cut.iterdir()) == names
    # Once more: there is nothing to do.
    seen = []
    shard_format.write(cut, _items(23, seen), {}, 300)
    assert seen == []


def test_a_shard_without_its_note_is_written_again(tmp_path):
    shard_format.write(tmp_path / "whole", _items(9), {}, shard_bytes=300)
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        shard_format.write(cut, _items(9, stop=8), {}, shard_bytes=300)
    (cut / "00000.json").unlink()  # as if killed between the two renames
    shard_format.write(cut, _items(9), {}, shard_bytes=300)
    assert _contents(cut) == _contents(tmp_path / "whole")


def test_another_origin_or_a_damaged_shard_is_an_error(tmp_path):
    shard_format.write(tmp_path, _items(9), {"inputs": ["a"]}, shard_bytes=300)
    with pytest.raises(ValueError, match=r"begun from \{'inputs': \['a'\]\}.*asked for .*'b'"):
        shard_format.write(tmp_path, _items(9), {"inputs": ["b"]}, shard_bytes=300)
    shard = tmp_path / "00000.arrayrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"00000\.arrayrecord has .* damaged"):
        shard_format.shards(tmp_path)
    with pytest.raises(ValueError, match=r"no shards\.json"):
        shard_format.summary(tmp_path / "none")


def test_a_finished_folder_that_lost_a_note_is_not_read_as_shorter(tmp_path):
    shard_format.write(tmp_path, _items(12), {}, shard_bytes=300)
    assert len(shard_format.open_records(tmp_path)) == 10
    left = shard_format.shards(tmp_path)[0].records
    (tmp_path / "00001.json").unlink()
    with pytest.raises(ValueError, match=rf"have {left} records and shards\.json says 10"):
        shard_format.open_records(tmp_path)


def test_only_bad_items_make_no_file(tmp_path):
    assert shard_format.write(tmp_path, _items(5)[4:], {}, 300).records == 0
    assert not list(tmp_path.glob("*.arrayrecord"))
