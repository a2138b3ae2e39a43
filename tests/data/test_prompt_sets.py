"""Sets of prompts without true answers."""

import json
import os
import pathlib

import pytest
from PIL import Image

from vision_banana.data import genai_bench, imgedit, samples, source


def _genai(root, prompts, skills):
    (root / "genai_image.json").write_text(json.dumps(prompts))
    (root / "genai_skills.json").write_text(json.dumps(skills))
    return genai_bench.genai_bench(str(root))


def test_genai_prompts_with_their_skills(tmp_path):
    prompts = {"00001": {"id": "00001", "prompt": "a cat"}, "00012": {"prompt": "two dogs"}}
    read = _genai(tmp_path, prompts, {"basic": [1], "counting": [12, 1], "negation": [2]})
    first, second = (read.example(i, "image_generation") for i in range(2))
    assert first.key == "genai_bench/00001" and first.references == ()
    assert first.words["caption"] == "a cat" and first.words["skills"] == ("basic", "counting")
    assert second.words["skills"] == ("counting",)
    assert not first.valid.any()
    for listed, skills, message in (
        ([1], {}, r"genai_image\.json has not the form.*AttributeError"),
        ({"a": {"prompt": "x"}}, {"basic": [1]}, r"genai_image\.json has not the form.*'a'"),
        (prompts, [1], r"genai_skills\.json has not the form"),
    ):
        with pytest.raises(ValueError, match=message):
            _genai(tmp_path, listed, skills)
    (tmp_path / "genai_skills.json").write_text("{")
    with pytest.raises(ValueError, match=r"genai_skills\.json is no JSON"):
        genai_bench.genai_bench(str(tmp_path))


def test_real_genai_prompts(tmp_path):
    place = os.environ.get(samples.VARIABLE)
    if not place:
        pytest.skip(f"{samples.VARIABLE} is not set: it names the folder of the sample sets")
    rows = json.loads((pathlib.Path(place) / "prompts/dev/genai_bench_528.json").read_text())
    read = _genai(tmp_path, {row["id"]: row for row in rows}, {"basic": [int(rows[0]["id"])]})
    assert len(read) == len(rows) > 300
    captions = [read.example(i, "image_generation").words["caption"] for i in range(len(read))]
    assert captions == [row["prompt"] for row in rows]


def test_edits_with_their_pictures(tmp_path):
    shown = tmp_path / "original_images" / "animal"
    shown.mkdir(parents=True)
    Image.new("RGB", (4, 3), (255, 0, 0)).save(shown / "1.png")
    edits = {
        "1082": {"id": "animal/1.png", "prompt": "Make it blue.", "edit_type": "alter"},
        "7": {"id": "animal/2.png", "prompt": "Remove it.", "edit_type": "remove"},
    }
    (tmp_path / "basic_edit.json").write_text(json.dumps(edits))
    read = imgedit.imgedit(str(tmp_path))
    first = read.example(0, "image_editing")
    assert first.key == "imgedit/1082" and first.references[0].shape == (3, 4, 3)
    assert dict(first.words) == {"instruction": "Make it blue.", "edit_type": "alter"}
    assert not first.valid.any()
    with pytest.raises(source.BadRecord, match=r"imgedit/7.*missing file"):
        read.example(1, "image_editing")
    edits["7"]["id"] = "../../secret.png"
    (tmp_path / "basic_edit.json").write_text(json.dumps(edits))
    with pytest.raises(ValueError, match=r"leads out of"):
        imgedit.imgedit(str(tmp_path))
    for text in ("[]", '{"1": 3}'):
        (tmp_path / "basic_edit.json").write_text(text)
        with pytest.raises(ValueError, match=r"basic_edit\.json has not the form"):
            imgedit.imgedit(str(tmp_path))
