"""Folders of weights: what is written, what is refused, where a name leads."""

import argparse
import dataclasses
import functools
import hashlib
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import nano_run
import numpy as np
import pytest

from vision_banana.data import language
from vision_banana.training import pretrained, provenance, sharding, update_guard, weights_arguments
from vision_banana.training.checkpoint import Checkpoints


@pytest.fixture
def folder(tmp_path):
    return nano_run.write(tmp_path / "weights")


def load(name):
    return pretrained.load(str(name), language.describe())


def test_weights_come_back_rounded_to_bfloat16(folder):
    loaded = load(folder)
    assert (loaded.step, loaded.config) == (7, nano_run.CONFIG)
    assert loaded.model.size == "nano"
    expected = jax.tree.map(
        lambda x: np.asarray(jnp.float32(jnp.bfloat16(x))), nano_run.random_params()
    )
    assert jax.tree.structure(loaded.params) == jax.tree.structure(expected)
    for found, wanted in zip(*map(jax.tree.leaves, (loaded.params, expected)), strict=True):
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, wanted)
    assert sorted(x.name for x in folder.iterdir()) == [
        "README.md", "config.json", "weights.safetensors",
    ]  # fmt: skip


def test_the_folder_is_read_without_this_code(folder):
    code = (
        "import json, sys\n"
        "sys.modules['vision_banana'] = None\n"
        "from safetensors.numpy import load_file\n"
        "import ml_dtypes\n"
        f"weights = load_file(r'{folder / 'weights.safetensors'}')\n"
        f"config = json.load(open(r'{folder / 'config.json'}'))\n"
        "table = weights['text_embedding.table']\n"
        "print(config['config']['model']['size'], table.dtype, float(table.astype('f8').sum()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    size, dtype, total = done.stdout.split()
    table = np.asarray(jnp.bfloat16(nano_run.random_params()["text_embedding"]["table"]))
    assert (size, dtype) == ("nano", "bfloat16")
    assert float(total) == table.astype(np.float64).sum()


def edit_config(folder, **changes):
    path = folder / "config.json"
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


def other_size(folder):
    config = json.loads(json.dumps(nano_run.CONFIG))
    config["model"]["size"] = "tiny"
    edit_config(folder, config=config)


def unknown_field(folder):
    config = json.loads(json.dumps(nano_run.CONFIG))
    config["model"]["experts"] = 8
    edit_config(folder, config=config)


def put(key, value):
    """Damage: another value in `config.json`, by dotted key; None takes it away."""

    def damage(folder):
        record = json.loads((folder / "config.json").read_text())
        *parents, last = key.split(".")
        section = functools.reduce(dict.__getitem__, parents, record)
        section[last] = value
        if value is None:
            del section[last]
        (folder / "config.json").write_text(json.dumps(record))

    return damage


def one_nan(folder):
    """Whole files with the right hash, whose weights are of no use."""
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-2:] = b"\xc0\x7f"  # the last of the weights, in bfloat16
    (folder / "weights.safetensors").write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    edit_config(folder, weights={"bytes": len(data), "sha256": sha256})


def flip_bit(folder):
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-9] ^= 1
    (folder / "weights.safetensors").write_bytes(data)


def truncate(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-2])


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (truncate, ValueError, r"weights.safetensors has \d+ bytes, but config.json expects \d+"),
        (flip_bit, ValueError, "weights.safetensors is damaged or another file: its SHA-256"),
        (other_size, ValueError, r"weights.safetensors does not fit .*\(2, .*expected \(6, "),
        (unknown_field, ValueError, "config.json describes a model that this version lacks.*expe"),
        (lambda f: edit_config(f, format_version=2), ValueError, "config.json has format_version "
         "2, but this version of vision_banana reads 1"),
        (lambda f: edit_config(f, format="other"), ValueError, "config.json does not describe"),
        (one_nan, ValueError, r"weights.safetensors cannot be used: 1 of the \d+ numbers of \w+\."),
        (lambda f: edit_config(f, language=language.describe() | {"prompts": 0}), ValueError,
         "prompts = 0, but this version has"),
        (lambda f: (f / "config.json").write_text('{"format": '), ValueError,
         "config.json is damaged, it is no JSON"),
        (lambda f: (f / "weights.safetensors").unlink(), FileNotFoundError,
         "weights.safetensors is missing; a folder of weights holds"),
        (lambda f: (f / "config.json").unlink(), FileNotFoundError, "config.json is missing"),
    ],
)  # fmt: skip
def test_damage_is_named(folder, damage, error, says):
    damage(folder)
    with pytest.raises(error, match=says):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("step", None, "step is missing, and must be a whole number of 0 or more"),
        ("step", True, "step is True"),
        ("step", -1, "step is -1"),
        ("weights", {}, "weights.bytes is missing"),
        ("weights", 7, "weights.bytes is missing"),
        ("weights.sha256", None, "weights.sha256 is missing, and must be 64 hexadecimal digits"),
        ("weights.sha256", "ab", "weights.sha256 is 'ab'"),
        ("language", [], r"language is \[\], and must be a JSON object"),
        ("config", None, "config.model.size is missing"),
        ("config.init_from", None, "config.init_from is missing, and must be a text"),
        ("config.time", {}, "config.time.shift is missing, and must be a number above 0"),
        ("config.time.shift", float("nan"), "config.time.shift is nan"),
        ("config.data", {}, "config.data.size is missing"),
        ("config.data.size", "16", "config.data.size is '16'"),
        ("config.data.size", 15, "config.data.size is 15, and must be a multiple of 8, the side"),
        ("config.data.mixture.pictures", {}, "config.data.mixture.pictures.source.name is missing"),
        ("config.model.size", "huge", "a model that this version lacks: model.size is 'huge'"),
        ("config.model.vocabulary", "x", "config.model.vocabulary is 'x', and must be a whole"),
        ("config.model.text_length", 0, "config.model.text_length is 0"),
    ],
)
def test_a_value_that_cannot_be_is_named_before_the_weights_are_read(folder, key, value, says):
    put(key, value)(folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=rf"^{folder}/config.json .*{says}"):
        load(folder)


def test_the_packaged_checkpoint_says_how_it_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError) as raised:
        load("pocket")
    assert str(tmp_path / "pocket" / "config.json") in str(raised.value)
    assert f"vision_banana.export --workdir runs/pocket --output {tmp_path}" in str(raised.value)
    nano_run.write(tmp_path / "pocket")
    assert load("pocket").step == 7


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 'pokcet'; did you mean 'pocket'\?"):
        load("pokcet")
    with pytest.raises(FileNotFoundError, match="hf://owner/name"):
        load("owner/name")  # without hf:// the network stays untouched


def test_a_training_run_is_a_checkpoint_too(tmp_path):
    params = nano_run.random_params()
    checkpoints = Checkpoints(str(tmp_path))
    raw = jax.tree.map(lambda x: x + 1, params)
    state = {"params": raw, "ema": params, "opt_state": {}, "step": jnp.int32(5)}
    state["guard"] = update_guard.init()
    checkpoints.save(state, nano_run.DESCRIPTION)
    checkpoints.close()
    provenance.claim(str(tmp_path), nano_run.CONFIG)
    assert load(tmp_path).step == 5
    mesh = sharding.make_mesh({"replica": 1, "fsdp": -1, "tensor": 1})
    model = nano_run.model().model
    weights = pretrained.load_weights(str(tmp_path), model, mesh, language.describe())
    jax.tree.map(np.testing.assert_array_equal, weights, params)  # the average
    other = language.describe() | {"prompts": 0}
    with pytest.raises(ValueError, match=r"checkpoints was trained with prompts = .* has 0; its"):
        pretrained.load_weights(str(tmp_path), model, mesh, other)


def test_weights_for_a_model_that_is_there(folder):
    mesh = sharding.make_mesh({"replica": 1, "fsdp": -1, "tensor": 1})
    speaks = language.describe()
    model = nano_run.model().model
    weights = pretrained.load_weights(str(folder), model, mesh, speaks)
    jax.tree.map(np.testing.assert_array_equal, weights, load(folder).params)
    other = dataclasses.replace(model, size="tiny")
    with pytest.raises(ValueError, match="size = 'nano', but this one has 'tiny'"):
        pretrained.load_weights(str(folder), other, mesh, speaks)


def test_the_arguments_of_commands(folder, tmp_path, monkeypatch):
    def parse(*given):
        parser = argparse.ArgumentParser()
        weights_arguments.add(parser)
        return parser.parse_args(given)

    assert weights_arguments.load(parse("--checkpoint", str(folder)), language.describe()).step == 7
    for given, home in (
        (("--workdir", "runs/x"), "runs/x"),
        (("--checkpoint", "pocket"), "runs/pocket"),
        (("--checkpoint", "hf://owner/name@v1"), "runs/name"),
        (("--checkpoint", f"{folder}/"), "runs/weights"),
    ):
        assert weights_arguments.results_folder(parse(*given)) == home
    monkeypatch.setenv("HOME", str(tmp_path))  # which no shell puts for the "~" of --name=~/x
    assert weights_arguments.results_folder(parse("--workdir=~/x")) == str(tmp_path / "x")
    assert parse("--checkpoint=~/x").checkpoint == str(tmp_path / "x")
    assert weights_arguments.results_folder(parse("--checkpoint=~")) == f"runs/{tmp_path.name}"
    (folder / "step@9").mkdir()
    monkeypatch.chdir(folder / "step@9")
    for place, home in ((".", "runs/step@9"), ("..", "runs/weights"), ("../step@9", "runs/step@9")):
        assert weights_arguments.results_folder(parse("--checkpoint", place)) == home
    with pytest.raises(ValueError, match="--checkpoint / is no folder with a name"):
        weights_arguments.results_folder(parse("--checkpoint", "/"))
    with pytest.raises(ValueError, match="for example --checkpoint pocket"):
        weights_arguments.load(parse(), language.describe())
    with pytest.raises(SystemExit):
        parse("--checkpoint", "pocket", "--workdir", "x")


def test_nothing_is_overwritten(folder):
    with pytest.raises(ValueError, match="choose another --output"):
        nano_run.write(folder)
    assert load(folder).step == 7


def test_a_folder_that_was_interrupted_does_not_appear(tmp_path):
    class Interrupted(dict):
        def items(self):
            yield "config.json", b"{}"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrained.write(str(tmp_path / "weights"), Interrupted())
    assert not (tmp_path / "weights").exists()


def test_what_an_interrupted_export_left_is_not_taken_over(tmp_path):
    (tmp_path / "weights.partial" / "old").mkdir(parents=True)
    (tmp_path / "weights.partial" / "caption_sheet.jpg").write_bytes(b"of other weights")
    pretrained.write(str(tmp_path / "weights"), {"config.json": b"{}"})
    assert [x.name for x in (tmp_path / "weights").iterdir()] == ["config.json"]
    assert not (tmp_path / "weights.partial").exists()


def test_a_hub_name_is_found_in_the_hubs_cache(monkeypatch, tmp_path, folder):
    constants = pytest.importorskip("huggingface_hub.constants", reason="no extra `hub`")
    commit = "0" * 40
    repository = tmp_path / "models--someone--nano"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load("hf://someone/nano").step == 7
    with pytest.raises(FileNotFoundError, match="hf://someone/other cannot be fetched"):
        load("hf://someone/other")
    with pytest.raises(ValueError, match="write hf://owner/name"):
        load("hf://nano")


def test_an_export_that_is_interrupted_leaves_nothing(tmp_path):
    class Files(dict):
        def items(self):
            yield "a", b"first"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrained.write(str(tmp_path / "out"), Files())
    assert list(tmp_path.iterdir()) == []
