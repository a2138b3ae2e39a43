import io
import json

import nano_run
import numpy as np
import pytest
from exit_codes import exit_code
from PIL import Image

from configs import image_text
from vision_banana.data import captioned, image_folder, on_disk, source
from vision_banana.evaluation import leaks, model_card, perceptual_hash
from vision_banana.evaluation.perceptual_hash import Hashes
from vision_banana.training import pretrained

pytest.importorskip("pdqhash")
pytest.importorskip("cv2")


def _texture(seed, size=96):
    """A picture with something in it, as 8-bit RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def _mix(root):
    """Five training pictures, one of which is flat, one twice and one damaged."""
    folder = root / "train"
    folder.mkdir()
    for i in range(4):
        _texture(i).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text("a texture")
    _texture(3).save(folder / "again.png")
    Image.new("RGB", (96, 96), (80, 80, 80)).save(folder / "flat.png")
    (folder / "cut.png").write_bytes(b"")
    for name in ("again", "flat", "cut"):
        (folder / f"{name}.txt").write_text("x")
    return {"mine": {"source": {"name": "image_folder", "path": str(folder)}}}


def _benchmark(root):
    """ReasonSeg val with a small copy of picture 1, picture 2 mirrored, and two others."""
    folder = root / "val"
    folder.mkdir(parents=True)
    shown = {
        "copy": _texture(1).resize((64, 64)),
        "mirror": _texture(2).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "other": _texture(77),
        "flat": Image.new("RGB", (80, 80), (200, 10, 10)),
    }
    for name, picture in shown.items():
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=80)
        (folder / f"{name}.jpg").write_bytes(file.getvalue())
        shape = {"label": "target", "points": [[1, 1], [9, 1], [9, 9]]}
        row = {"text": ["where?"], "is_sentence": True, "shapes": [shape]}
        (folder / f"{name}.json").write_text(json.dumps(row))
    return str(root)


def test_copies_and_mirrored_copies_are_found(tmp_path):
    mix, data = _mix(tmp_path), _benchmark(tmp_path / "reasonseg")
    report = leaks.check(mix, {"reasonseg": data})
    found = [(m["training"], m["picture"], m["mirrored"]) for m in report["matches"]]
    assert found == [
        ("image_folder/train/1.png", "reasonseg/val/copy", False),
        ("image_folder/train/2.png", "reasonseg/val/mirror", True),
    ]
    assert all(0 <= m["bits"] <= 31 for m in report["matches"])
    assert report["leaked_pictures"] == {"reasonseg": 2}
    (trained,) = report["training"]
    bad = {"unreadable picture": 1}
    assert trained == {
        "row": "mine", "source": "image_folder/train", "of": 7, "records": 7, "pictures": 4,
        "plain": 1, "bad": bad,
    }  # fmt: skip
    (scored,) = report["benchmarks"]
    assert (scored["pictures"], scored["plain"], scored["bad"]) == (3, 1, {})
    said = "\n".join(leaks.sentences(report))
    assert "4 training pictures" in said and "reasonseg: 2 of 3 pictures match" in said
    assert "1 pictures are too plain" in said and "1 records could not be read" in said


def test_the_command_writes_what_the_model_card_quotes(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"data": {"mixture": _mix(tmp_path)}}))
    data = _benchmark(tmp_path / "reasonseg")
    hashes = tmp_path / "hashes"
    asked = [str(run), "--benchmark", f"reasonseg={data}", "--save_hashes", str(hashes)]
    assert leaks.main(asked) == 1
    assert "train/1.png is reasonseg/val/copy" in capsys.readouterr().out
    report = json.loads((run / "leaks.json").read_text())
    card = model_card.build(nano_run.model(), nano_run.DESCRIPTION, str(run))
    assert "* reasonseg: 2 of 3 pictures match" in card
    # The hashes stand in for the data.
    asked = [str(run), "--benchmark", f"reasonseg={hashes / 'reasonseg.npz'}"]
    assert leaks.main([*asked, "--output", str(tmp_path / "b.json")]) == 1
    assert json.loads((tmp_path / "b.json").read_text())["matches"] == report["matches"]
    # Of the training pictures in the order of their names, the first and last are no leaks.
    assert exit_code(leaks.main, [*asked, "--most", "2"]) == 0
    assert "2 of 7 records were looked at" in capsys.readouterr().out


def test_a_card_without_a_check_says_so(tmp_path):
    card = model_card.build(nano_run.model(), nano_run.DESCRIPTION, str(tmp_path))
    assert "Not looked for" in card


def test_a_mix_can_be_a_config_with_its_values(tmp_path):
    path = f"{image_text.__file__}:folder"
    key = "data.mixture.captions.source.path"
    mix = leaks.read_mix(path, [f"{key}=/data/x"])
    assert mix["captions"]["source"] == {"name": "image_folder", "path": "/data/x"}
    with pytest.raises(ValueError, match=r"--set data\.none=3 does not fit"):
        leaks.read_mix(path, ["data.none=3"])
    with pytest.raises(ValueError, match=r"is no run's folder and no config"):
        leaks.read_mix(str(tmp_path))


def test_what_cannot_be_checked_is_an_error(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"data": {"mixture": _mix(tmp_path)}}))
    (tmp_path / "bad.npz").write_bytes(b"PK")
    for benchmark, message in {
        "none=/x": "unknown benchmark 'none'",
        "reasonseg=/none": "is not a folder",
        f"reasonseg={tmp_path / 'bad.npz'}": "holds no lists of hashes",
    }.items():
        assert exit_code(leaks.main, [str(run), "--benchmark", benchmark]) == 2
        assert message in capsys.readouterr().err
    assert exit_code(leaks.main, [str(run)]) == 2
    assert "name at least one benchmark" in capsys.readouterr().err
    assert not (run / "leaks.json").exists()


def test_matches_by_hand(monkeypatch):
    words = np.zeros((3, 4), np.uint64)
    words[1, 0], words[2, 3] = 0b111, np.uint64(1) << np.uint64(63)
    left = Hashes(("a", "b", "c"), words)
    right = Hashes(("x", "y"), words[[0, 2]])
    found = [[], []]
    for i, pairs in enumerate((1, 1 << 20)):  # in blocks of one, and all at once
        monkeypatch.setattr(perceptual_hash, "_PAIRS", pairs)
        found[i] = list(perceptual_hash.matches(left, right, at_most=3))
    # a-x 0, a-y 1, b-x 3, b-y 4 (too many), c-x 1, c-y 0.
    assert found[0] == [(0, 0, 0), (0, 1, 1), (1, 0, 3), (2, 0, 1), (2, 1, 0)] == found[1]
    assert list(perceptual_hash.matches(left, Hashes((), words[:0]))) == []


def test_a_picture_that_occurs_twice_is_kept_once(tmp_path):
    _mix(tmp_path)
    read = image_folder.ImageFolder(str(tmp_path / "train"))
    upright, mirrored = perceptual_hash.of_source(read, range(len(read)))
    keys = [f"image_folder/train/{name}.png" for name in ("0", "1", "2", "3")]
    assert sorted(upright.hashes.names) == keys == sorted(mirrored.hashes.names)
    assert upright.hashes.bits.shape == (4, 4) and upright.hashes.bits.dtype == np.uint64


def test_a_released_file_is_looked_at_whole_where_a_reader_cuts_it(tmp_path):
    """The file lies in a folder of training pictures too; its lower half alone does not match."""
    folder = tmp_path / "train"
    folder.mkdir()
    _texture(5).save(folder / "0.png")
    (folder / "0.txt").write_text("x")
    record = on_disk.Record("0", folder / "0.png", {})

    def answer(record, picture):
        return np.ones(picture.shape[:2], np.float32), np.ones(picture.shape[:2], bool), {}

    def lower_half(record):
        return on_disk.read_picture(record)[48:]

    whole = perceptual_hash.of_source(image_folder.ImageFolder(str(folder)), [0])[0].hashes
    cut = on_disk.OnDisk("cut", [record], {"depth": answer}, lower_half)
    seen = perceptual_hash.of_source(cut, [0])[0].hashes
    half, _ = perceptual_hash.of_picture(np.asarray(_texture(5), np.float32)[48:] / 255)
    assert np.bitwise_count(whole.bits[0] ^ half).sum() > perceptual_hash.MATCHED
    assert {bits.tobytes() for bits in seen.bits} == {whole.bits[0].tobytes(), half.tobytes()}
    assert leaks._pictures(seen) == 1
    plain = on_disk.OnDisk("whole", [record], {"depth": answer})
    assert perceptual_hash.of_source(plain, [0])[0].hashes.names == ("whole/0",)


def test_a_picture_that_two_rows_show_is_one(tmp_path):
    mix, data = _mix(tmp_path), _benchmark(tmp_path / "reasonseg")
    report = leaks.check({**mix, "again": mix["mine"]}, {"reasonseg": data})
    assert [row["pictures"] for row in report["training"]] == [4, 4]
    assert leaks.sentences(report)[0].startswith("4 training pictures of image_folder/train were")
    del report["training_pictures"]  # as in earlier reports
    assert leaks.sentences(report)[0].startswith("8 training pictures of image_folder/train, with")


def test_a_record_is_looked_at_if_any_of_its_tasks_can_be_asked():
    class Half:
        name, tasks = "half", ("depth", "image_generation")

        def __len__(self):
            return 3

        def example(self, index, task):
            if task == "depth" or index == 2:
                raise source.BadRecord(f"half/{index}", f"no {task}: lost")
            picture = np.asarray(_texture(index), np.float32) / 255
            return captioned.example(f"half/{index}", picture, "x")

    seen, _ = perceptual_hash.of_source(Half(), range(3))
    assert seen.hashes.names == ("half/0", "half/1") and seen.records == 3
    assert seen.bad == (("half/2", "no image_generation: lost"),)


def test_the_packaged_card_says_what_the_packaged_check_found():
    folder = pretrained.FOLDER / "pocket"
    found = json.loads((folder / leaks.FILE).read_text())
    card = (folder / "README.md").read_text("utf-8")
    for line in leaks.sentences(found):
        assert card.count(f"* {line}\n") == 1  # no line stands there twice
    assert not found["matches"]
