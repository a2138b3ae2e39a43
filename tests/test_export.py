"""The export command: from a run to a folder, programs without our code, and the model card."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import nano_run
import numpy as np
import pytest
from PIL import Image

import vision_banana as vb
from vision_banana import export, sample
from vision_banana.evaluation import model_card, results
from vision_banana.training import json_lines, update_guard
from vision_banana.training.checkpoint import Checkpoints

PROMPT = "metric depth map"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with random weights, whose average is `nano_run.model`, its log and its scores."""
    folder = tmp_path_factory.mktemp("runs") / "nano"
    state = {"params": nano_run.random_params(1), "ema": nano_run.random_params()}
    state |= {"opt_state": {}, "step": jnp.int32(7), "guard": update_guard.init()}
    checkpoints = Checkpoints(str(folder))
    checkpoints.save(state, nano_run.DESCRIPTION)
    checkpoints.close()
    lines = [{"step": s, "seconds_per_step": t} for s, t in ((2, 400.0), (4, 999.0), (4, 1400.0))]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    row = {
        "run": "nano", "checkpoint_step": 7, "benchmark": "scenes", "seed": 0, "task": "depth",
        "metric": "delta1", "steps": 1, "value": 0.875, "blind": 0.5, "truth": 1.0,
        "low": 0.85, "high": 0.9, "perfect": 1.0, "skill": 0.75, "count": 64, "skipped": 0,
    }  # fmt: skip
    old = row | {"checkpoint_step": 5, "value": 0.111}
    results.write(folder / "results.jsonl", [old, row])
    return folder


def test_a_run_becomes_a_folder_that_answers_the_same(run, tmp_path, capsys):
    folder = tmp_path / "out" / "weights"
    export.main(["--workdir", str(run), "--output", str(folder)])
    assert "wrote weights.safetensors, config.json, README.md" in capsys.readouterr().out
    picture = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)
    ours = vb.Model(nano_run.model()).perceive(picture, "depth")
    theirs = vb.load(str(folder)).perceive(picture, "depth")
    # A run is loaded onto all devices, where sums run in another order.
    loaded = vb.load(str(run)).perceive(picture, "depth")
    np.testing.assert_allclose(loaded.drawn, ours.drawn, atol=1e-5)
    # bfloat16 keeps 8 bits of a weight.
    np.testing.assert_allclose(theirs.drawn, ours.drawn, atol=0.05)
    assert ours.drawn.std() > 0.1
    # From a folder to a folder nothing is lost.
    export.main(["--checkpoint", str(folder), "--output", str(tmp_path / "again")])
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name
    Image.fromarray(picture).save(tmp_path / "photo.png")
    arguments = ["--checkpoint", str(folder), "--image", str(tmp_path / "photo.png")]
    out = ["--task", "depth", "--output", str(tmp_path / "answers")]
    sample.main([*arguments, *out])
    saved = np.load(tmp_path / "answers" / "photo_depth.npz")["depth_m"]
    np.testing.assert_allclose(saved, theirs.depth_m, rtol=1e-4)


def test_mistakes_are_one_sentence(run, tmp_path, capsys):
    (tmp_path / "kept.txt").write_text("mine")
    for arguments, says in (
        (["--workdir", str(run), "--output", str(tmp_path)], "is not empty"),
        (["--workdir", str(tmp_path / "no"), "--output", str(tmp_path / "x")], "does not exist"),
        (["--checkpoint", "pokcet", "--output", str(tmp_path / "x")], "did you mean 'pocket'"),
    ):
        with pytest.raises(SystemExit) as stopped:
            export.main(arguments)
        assert stopped.value.code == 2
        error = capsys.readouterr().err
        assert says in error and error.startswith("export: ") and error.count("\n") == 1
    assert (tmp_path / "kept.txt").read_text() == "mine"


def test_programs_answer_the_same_without_this_code(run, tmp_path, capsys):
    pytest.importorskip("flatbuffers", reason="the extra `export` is not installed")
    folder = tmp_path / "programs"
    export.main(["--workdir", str(run), "--output", str(folder), "--stablehlo"])
    assert "generate.stablehlo: 100%" in capsys.readouterr().err
    params = jax.tree.map(lambda x: np.float32(jnp.bfloat16(x)), nano_run.random_params())
    model = vb.Model(nano_run.model()._replace(params=params))
    rng = np.random.default_rng(0)
    picture = rng.random((nano_run.SIZE, nano_run.SIZE, 3)).astype(np.float32)
    np.savez(tmp_path / "in.npz", picture=picture)
    # `jax.export` reads the program, `safetensors` the weights, `tokenizers` the prompt.
    code = f"""
import sys
sys.modules["vision_banana"] = sys.modules["flax"] = None
import jax.export, ml_dtypes, numpy as np, tokenizers
from safetensors.numpy import load_file
folder = {str(folder)!r}
weights = load_file(folder + "/weights.safetensors")
tokenizer = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
def tokens(*prompts):
    rows = np.zeros((len(prompts), {nano_run.MODEL["text_length"]}), np.int32)
    for row, prompt in zip(rows, prompts):
        ids = tokenizer.encode(prompt).ids
        row[:len(ids)] = ids
    return rows
def program(name):
    return jax.export.deserialize(open(folder + f"/{{name}}.stablehlo", "rb").read())
picture = np.load({str(tmp_path / "in.npz")!r})["picture"]
seen = program("perceive").call(weights, np.uint32(0), tokens({PROMPT!r}, "edit it"), picture[None])
drawn = program("generate").call(weights, np.uint32(3), tokens("a red cube"), picture[None][:0])
np.savez({str(tmp_path / "out.npz")!r}, seen=seen, drawn=drawn)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    out = np.load(tmp_path / "out.npz")
    seen = [x.drawn for x in model.perceive(picture, [PROMPT, "edit it"])]
    np.testing.assert_allclose(out["seen"], seen, atol=1e-4)
    drawn = model.generate("a red cube", seed=3).drawn
    np.testing.assert_allclose(out["drawn"][0], drawn, atol=1e-3)
    assert out["seen"].std() > 0.1 and drawn.std() > 0.1


def test_the_card_tells_scores_and_hours(run):
    card = model_card.build(nano_run.model(), nano_run.DESCRIPTION, str(run))
    assert card.startswith("---\nlicense: apache-2.0\n")
    # 2 steps of 400 s and 2 of 1400 s: one hour; the repeated line counts once.
    assert model_card.hours(json_lines.read(run / "metrics.jsonl")) == pytest.approx(1.0)
    assert "on 2 x cpu" in card and "`nano`: 4 steps of 6 queries in 1.0 hours" in card
    assert "0.875" in card and "0.750" in card and "64 records of scenes" in card
    assert "| 0.850 to 0.900 |" in card  # the interval
    assert "0.111" not in card  # of older weights
    assert "source `scenes`, tasks depth" in card


@pytest.mark.parametrize("name", ["caption_sheet", "answer_sheet"])
def test_the_sheet_of_these_weights_goes_with_the_card(run, tmp_path, name):
    (run / f"{name}_5.jpg").write_bytes(b"older weights")
    card = model_card.build(nano_run.model(), nano_run.DESCRIPTION, str(run))
    assert f"{name}.jpg" not in card and "Not drawn yet" in card
    (run / f"{name}_7.jpg").write_bytes(b"sheet")
    first, second = tmp_path / "first", tmp_path / "second"
    export.main(["--workdir", str(run), "--output", str(first)])
    export.main(["--checkpoint", str(first), "--output", str(second)])
    for step in (5, 7):
        (run / f"{name}_{step}.jpg").unlink()
    for folder in (first, second):
        assert (folder / f"{name}.jpg").read_bytes() == b"sheet"
        assert f"]({name}.jpg)" in (folder / "README.md").read_text()


def test_a_run_is_a_checkpoint_too(run, tmp_path):
    for name in ("workdir", "checkpoint"):
        export.main([f"--{name}", str(run), "--output", str(tmp_path / name)])
    for file in (tmp_path / "workdir").iterdir():
        assert file.read_bytes() == (tmp_path / "checkpoint" / file.name).read_bytes(), file.name
    assert "0.875" in (tmp_path / "checkpoint" / "README.md").read_text()


def test_a_card_without_scores_says_so(tmp_path):
    card = model_card.build(nano_run.model(), nano_run.DESCRIPTION, str(tmp_path))
    assert "Not scored yet" in card and "hours not recorded" in card
