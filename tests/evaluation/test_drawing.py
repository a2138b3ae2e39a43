"""Pictures for people to judge: drawn from a set's own words, resumable, and compared."""

import json

import nano_run
import numpy as np
import pytest
from PIL import Image

from vision_banana import evaluate
from vision_banana.evaluation import drawing, preference_study, saved
from vision_banana.evaluation.benchmarks import BENCHMARKS

COUNT = 3


@pytest.fixture(scope="module")
def model():
    return nano_run.model()


@pytest.fixture
def prompts(tmp_path):
    root = tmp_path / "genai"
    root.mkdir()
    rows = {f"{i:05d}": {"prompt": f"a cube number {i}"} for i in range(COUNT)}
    rows["00001"]["prompt"] = "a red cube " * 40  # more than the generator reads
    (root / "genai_image.json").write_text(json.dumps(rows))
    (root / "genai_skills.json").write_text("{}")
    return str(root)


def draw(model, data, folder, name="genai_bench", **options):
    chosen = {"count": 0, "steps": (2,), "seed": 0, "text_guidance": 2.0, **options}
    return drawing.run(model, BENCHMARKS[name], data, str(folder), **chosen)


def test_every_prompt_that_can_be_read_is_drawn_once(model, prompts, tmp_path, monkeypatch):
    drawn, bad = draw(model, prompts, tmp_path / "a")
    assert drawn == 2
    ((key, reason),) = bad
    assert key == "genai_bench/00001" and "at most 64" in reason
    files = sorted((tmp_path / "a").rglob("*"))
    names = [f.relative_to(tmp_path / "a").as_posix() for f in files if f.is_file()]
    assert names == ["image_generation/2/000000.npz", "image_generation/2/000002.npz"]
    with np.load(files[-1]) as saved:
        assert saved["rgb"].shape == (nano_run.SIZE, nano_run.SIZE, 3)
        assert str(saved["prompt"]) == "a cube number 2"
        first = saved["rgb"]
    monkeypatch.setattr(drawing.own_pictures, "ask", None)  # fails where it is called
    assert draw(model, prompts, tmp_path / "a") == (drawn, bad)
    with pytest.raises(TypeError, match="not callable"):  # none are there of other weights
        draw(model, prompts, tmp_path / "a", evaluation="other weights")
    monkeypatch.undo()
    files[-1].unlink()
    draw(model, prompts, tmp_path / "a")
    with np.load(files[-1]) as saved:
        np.testing.assert_array_equal(saved["rgb"], first)
    draw(model, prompts, tmp_path / "b", seed=1)
    study = preference_study.read(str(tmp_path / "a"), str(tmp_path / "b"))
    assert [pair.prompt for pair in study.pairs] == ["a cube number 0", "a cube number 2"]
    left, right = preference_study.sides(preference_study.order(study, "ana")[0])
    assert (left != right).any()


def test_an_edit_is_drawn_at_its_pictures_size_and_kept_beside_it(model, tmp_path):
    shown = tmp_path / "original_images"
    shown.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(levels).save(shown / "1.png")
    edits = {"7": {"id": "1.png", "prompt": "Make it blue.", "edit_type": "alter"},
             "8": {"id": "2.png", "prompt": "Remove it.", "edit_type": "remove"}}  # fmt: skip
    (tmp_path / "basic_edit.json").write_text(json.dumps(edits))
    drawn, bad = draw(model, str(tmp_path), tmp_path / "a", "imgedit", steps=(1,))
    assert drawn == 1 and bad[0][0] == "imgedit/8" and "missing file" in bad[0][1]
    with np.load(tmp_path / "a" / "image_editing" / "1" / "000000.npz") as saved:
        assert saved["rgb"].shape == (6, 9, 3)
        np.testing.assert_array_equal(saved["picture"], levels)


def test_the_command_draws_what_it_cannot_score(model, prompts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate.weights_arguments, "load", lambda arguments, language: model)
    arguments = [f"--workdir={tmp_path / 'run'}", "--benchmark=genai_bench", "--steps=2",
                 f"--data={prompts}"]  # fmt: skip
    with pytest.raises(SystemExit):
        evaluate.main(arguments)
    assert "--save_predictions" in capsys.readouterr().err
    evaluate.main([*arguments, f"--save_predictions={tmp_path / 'kept'}", "--count=1"])
    said = capsys.readouterr()
    assert "1 pictures are in" in said.out and "prefer" in said.out
    assert [p.name for p in (tmp_path / "kept").rglob("*.npz")] == ["000000.npz"]
    with pytest.raises(SystemExit):
        evaluate.main([*arguments, f"--save_predictions={tmp_path / 'kept'}", "--count=9"])
    assert "count is 9: genai_bench has 3 records" in capsys.readouterr().err


def test_pictures_of_other_weights_are_others_where_processes_draw_together(monkeypatch, tmp_path):
    digests = []

    def run(*asked, evaluation, **options):
        digests.append(evaluation)
        return 0, []

    monkeypatch.setattr(drawing, "run", run)
    monkeypatch.setattr(evaluate.jax, "process_count", lambda: 2)
    one = nano_run.model()
    for trained in (one, one, one._replace(params=nano_run.random_params(1))):
        evaluate.evaluate(trained, "x", "genai_bench", save_predictions=str(tmp_path))
    assert digests[0] == digests[1] != digests[2]


def test_what_is_asked_without_guidance_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(drawing, "run", lambda *asked, **options: (0, []))
    for name, stated in (("genai_bench", 4.0), ("imgedit", 1.0)):
        folder = str(tmp_path / name)
        evaluate.evaluate(nano_run.model(), "x", name, text_guidance=4.0, save_predictions=folder)
        assert saved.origin(folder)["text_guidance"] == stated


def test_shards_share_the_records(model, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "TOGETHER", 1)
    parts = [draw(model, prompts, tmp_path / "a", shard=(i, 2)) for i in range(2)]
    assert [drawn for drawn, _ in parts] == [2, 0]
    assert [len(bad) for _, bad in parts] == [0, 1]
