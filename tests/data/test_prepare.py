import io
import json
import tarfile

import picture_files
import pytest
from exit_codes import exit_code

from vision_banana.data import captioned_inputs, prepare, shard_format, shards, source, sources

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def _folder(path):
    path.mkdir()
    for name, color in (("a", RED), ("b", GREEN), ("c", BLUE)):
        (path / f"{name}.png").write_bytes(picture_files.png(color))
    (path / "d.png").write_bytes(picture_files.png(RED)[:40])
    rows = [("a.png", ["red", "rot"]), ("b.png", "green"), ("d.png", "cut")]
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in rows]
    (path / "captions.jsonl").write_text("\n".join(lines))
    return path


def _tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


WEB = {
    "000/00.jpg": picture_files.png(RED),
    "000/00.txt": b"red",
    "000/01.png": picture_files.png(GREEN),
    "000/01.json": json.dumps({"caption": "green", "width": 6}).encode(),
    "000/02.jpg": picture_files.png(BLUE),
    "000/02.seg.png": picture_files.png(BLUE),
    "000/02.txt": b"blue",
    "000/03.jpg": picture_files.png(BLUE),
    "000/03.json": b"{",
    "000/04.txt": b"no picture",
    "000/05.jpg": picture_files.png(BLUE),
    "000/05.png": picture_files.png(BLUE),
    "../../06.jpg": picture_files.png(RED),  # leads nowhere: nothing is unpacked
    "../../06.txt": b"red again",
}


def _read(folder, task="image_generation", **arguments):
    read = shards.Shards(str(folder), **arguments)
    return [read.example(i, task) for i in range(len(read))]


def _seen(example):
    return example.words["caption"], (example.label[0, 0] * 255).astype(int).tolist()


def test_a_folder_becomes_shards(tmp_path, capsys):
    folder, out = _folder(tmp_path / "in"), tmp_path / "out"
    assert exit_code(prepare.main, [str(folder), "--output", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 pictures, 2 with captions" in said
    assert "1 x no caption" in said and "1 x unreadable picture" in said
    bad = [json.loads(line) for line in (out / "bad.jsonl").read_text().splitlines()]
    assert [row["key"] for row in bad] == ["c.png", "d.png"]
    assert bad[1]["reason"].startswith("unreadable picture: a picture of 40 bytes")
    assert [_seen(e) for e in _read(out)] == [("red", [255, 0, 0]), ("green", [0, 255, 0])]
    two = [_seen(e)[0] for e in _read(out, texts_per_picture=2)]
    assert two == ["red", "rot", "green", "green"]


def test_other_pictures_are_not_taken_for_those_that_shards_hold(tmp_path, capsys, monkeypatch):
    """Another folder of the same name and number is refused; a finished one is said to stay."""
    (tmp_path / "other").mkdir()
    here, there = _folder(tmp_path / "in"), _folder(tmp_path / "other" / "in")
    out = ["--output", str(tmp_path / "out")]
    assert exit_code(prepare.main, [str(here), *out]) == 0
    assert "finished before" not in capsys.readouterr().out
    assert exit_code(prepare.main, [str(there), *out]) == 2
    assert "was begun from" in capsys.readouterr().err
    (here / "b.txt").write_text("another caption")
    monkeypatch.chdir(here.parent)
    assert exit_code(prepare.main, [here.name, *out]) == 0  # the same place
    said = capsys.readouterr().out
    assert "finished before and stays as it is" in said and "2 pictures, 2 with captions" in said


def test_a_webdataset_tar_becomes_shards(tmp_path):
    out = tmp_path / "out"
    summary = prepare.prepare([str(_tar(tmp_path / "a.tar", WEB))], str(out))
    assert summary.bad == {"unreadable caption": 1, "not one picture": 2}
    found = _read(out)
    assert [_seen(e)[0] for e in found] == ["red", "green", "blue", "red again"]
    assert found[1].key == "shards/out/000/01"
    named = prepare.prepare([str(tmp_path / "a.tar")], str(tmp_path / "png"), image="png")
    assert named.records == 1 and named.bad["not one picture"] == 5  # 05.png alone has no caption


def test_a_blank_text_does_not_hide_the_caption_beside_it(tmp_path):
    texts = {"txt": b" \n", "json": json.dumps({"text": ["", "red"]}).encode()}
    members = {"0.jpg": picture_files.png(RED)} | {f"0.{end}": t for end, t in texts.items()}
    prepare.prepare([str(_tar(tmp_path / "a.tar", members))], str(tmp_path / "out"))
    assert [_seen(e)[0] for e in _read(tmp_path / "out")] == ["red"]


@pytest.mark.parametrize("damage", ["cut", "cut between members", "gz", "text"])
def test_a_damaged_tar_is_refused(tmp_path, damage, capsys):
    path = _tar(tmp_path / "a.tar", WEB)
    data = path.read_bytes()
    cut = {"cut": data[:3000], "cut between members": data[:1024], "text": b"hello"}
    path.write_bytes(cut.get(damage, b"\x1f\x8b" + data))
    assert exit_code(prepare.main, [str(path), "--output", str(tmp_path / "out")]) == 2
    assert "a.tar is no uncompressed tar, or half-downloaded" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_parquet_file_becomes_shards(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    red, green = picture_files.png(RED), picture_files.png(GREEN)
    columns = {
        "image": [{"bytes": red, "path": "a"}, {"bytes": green, "path": None}, None],
        "photo": [red, b"", green],
        "text": ["red", "green", "none"],
        "sentences": [["red", "rot"], ["grün"], []],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet", row_group_size=2)
    path = str(tmp_path / "x.parquet")
    summary = prepare.prepare([path], str(tmp_path / "one"))
    assert summary == shard_format.Summary(2, 2, 0, {"no picture": 1})
    assert [_seen(e)[0] for e in _read(tmp_path / "one")] == ["red", "green"]
    summary = prepare.prepare([path], str(tmp_path / "two"), image="photo", caption="sentences")
    assert summary.bad == {"unreadable picture": 1, "no caption": 1}
    assert _read(tmp_path / "two")[0].words["caption"] == "red"
    with pytest.raises(ValueError, match=r"no column 'picture' of pictures: name one of .*photo"):
        captioned_inputs.open_input(path, "picture")
    with pytest.raises(ValueError, match=r"no column 'txt' of captions: name one of .*sentences"):
        captioned_inputs.open_input(path, caption="txt")
    parquet.write_table(pyarrow.table({"image": [red]}), tmp_path / "bare.parquet")
    bare = prepare.prepare([str(tmp_path / "bare.parquet")], str(tmp_path / "b"), captions=False)
    assert (bare.records, bare.captioned) == (1, 0)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes((tmp_path / "x.parquet").read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"cut\.parquet is no Parquet file, or half-downloaded"):
        captioned_inputs.open_input(str(cut))


def test_other_inputs_are_errors(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.zip is no folder"):
        captioned_inputs.open_input(str(tmp_path / "a.zip"))
    with pytest.raises(ValueError, match=r"none is not there"):
        captioned_inputs.open_input(str(tmp_path / "none"))


def test_pictures_without_captions_are_kept_on_request(tmp_path):
    folder = _folder(tmp_path / "in")
    summary = prepare.prepare([str(folder)], str(tmp_path / "out"), captions=False)
    assert (summary.records, summary.captioned) == (3, 2)
    with pytest.raises(source.BadRecord, match=r"shards/out/c\.png.*no caption"):
        _read(tmp_path / "out")


@pytest.mark.parametrize(("limit", "records"), [(6, 2), (5, 0)])
def test_pictures_above_the_limit_are_bad(tmp_path, limit, records):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.png").write_bytes(picture_files.png(RED, (3, 2)))
        (folder / f"{name}.txt").write_text("red")
    asked = [str(folder), "--output", str(tmp_path / "out"), "--max_pixels", str(limit)]
    prepare.main(asked)
    bad = [json.loads(x) for x in (tmp_path / "out" / "bad.jsonl").read_text().splitlines()]
    assert len(bad) == 2 - records
    assert all("3x2 = 6 pixels, more than the limit of 5" in row["reason"] for row in bad)


def test_several_folders_of_shards_are_one_source(tmp_path):
    _folder(tmp_path / "in")
    for name in ("one", "two"):
        prepare.prepare([str(tmp_path / "in")], str(tmp_path / "out" / name), shard_bytes=1)
    read = sources.build({"name": "shards", "path": str(tmp_path / "out")})
    captions = [read.example(i, "image_generation").words["caption"] for i in range(len(read))]
    assert captions == ["red", "green", "red", "green"]
    assert captions[2] == read.example(2, "image_generation").words["caption"]  # in any order
    with pytest.raises(IndexError, match=r"index 4"):
        read.example(4, "image_generation")
    with pytest.raises(ValueError, match=r"cannot answer 'depth'"):
        read.example(0, "depth")
    (tmp_path / "out" / "one" / "00001.arrayrecord").write_bytes(b"")
    with pytest.raises(ValueError, match=r"00001\.arrayrecord has 0 bytes"):
        shards.Shards(str(tmp_path / "out"))


def test_shards_that_hold_nothing_to_answer_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(picture_files.png(RED))
    prepare.prepare([str(tmp_path / "in")], str(tmp_path / "out"), captions=False)
    with pytest.raises(ValueError, match=r"hold no caption and no phrase"):
        shards.Shards(str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"no shards\.json"):
        shards.Shards(str(tmp_path / "in"))
