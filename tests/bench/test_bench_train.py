import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vision_banana.bench import __main__ as command  # noqa: E402
from vision_banana.bench import torch_generator, torch_train_step, train  # noqa: E402
from vision_banana.models import patches  # noqa: E402


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    make = train.sharding.make_mesh
    monkeypatch.setattr(
        train.sharding, "make_mesh", lambda shape, _: make(shape, train.jax.devices()[:1])
    )


def small():
    settings = train.config()
    settings["model"] |= {"size": "nano", "text_length": 48}
    settings["data"] |= {"size": 32, "groups": 2, "queries": 2}
    settings["objective"]["kept_share"] = 0.5
    return settings


@pytest.fixture
def without_compiler(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function: function)


def test_the_whole_comparison_in_small(without_compiler, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(train.machine, "SHAPES", ((8, 8, 8),))
    compare = train.compare
    monkeypatch.setitem(
        command.COMMANDS, "train", (lambda rounds: compare(rounds, small()), train.report, 1)
    )
    command.main(["train", "--output", str(tmp_path / "new" / "train.json")])
    result = json.loads((tmp_path / "new" / "train.json").read_text())
    assert max(result["largest_differences"].values()) < train.TOLERANCE
    assert min(result["largest_differences"].values()) > 0
    assert abs(sum(result["shares"].values()) - 1) < 1e-6
    assert min(result["shares"][x] for x in ("attention", "mlp", "text tower", "optimizer")) > 0
    assert result["flops"].keys() < result["shares"].keys()
    assert len(result["seconds"]) == 5 and len(result["matrix_flops_per_second"]) == 4
    printed = capsys.readouterr().out
    assert "JAX on cpu" in printed
    assert "4 queries" in printed and "PyTorch compiled bfloat16" in printed


def test_another_device_than_pytorchs_is_refused(monkeypatch):
    monkeypatch.setattr(train.jax, "default_backend", lambda: "gpu")
    with pytest.raises(ValueError, match=r"JAX runs on cpu; set JAX_PLATFORMS=cpu"):
        train.compare(1, small())


def test_the_config_keeps_what_the_bench_can_compare():
    settings = train.config()
    assert settings["model"]["size"] == "pocket"
    assert settings["optimizer"]["muon_rate"] == 0
    assert {x["references"] for x in settings["data"]["mixture"].values()} == {1}


@pytest.fixture(scope="module")
def prepared():
    """A model, weights, a batch and an objective."""
    settings = small()
    with train.pipeline.open_run(settings) as batches:
        batch = next(batches)
    model = train.Generator(**settings["model"])
    objective = train.Objective(
        train.run_lib.TimeSampling(**settings["time"]), **settings["objective"]
    )
    return model, train.weights.draw(model), batch, objective


def test_another_network_is_noticed(prepared, monkeypatch):
    monkeypatch.setattr(torch_generator, "rotate", lambda x, angles: x)
    with pytest.raises(ValueError, match="differs by"):
        train.check(*prepared)


def test_another_loss_is_noticed(prepared, monkeypatch):
    losses = torch_train_step.losses

    def other(network, seen, objective):
        return losses(network, seen, dataclasses.replace(objective, clip=1.0))

    monkeypatch.setattr(torch_train_step, "losses", other)
    with pytest.raises(ValueError, match="of the largest loss"):
        train.check(*prepared)


def test_the_copy_draws_and_takes_patches_as_the_original():
    objective = train.Objective(
        train.run_lib.TimeSampling(noise_share=1.0),
        drop_text=0.0,
        drop_references=0.0,
        kept_share=0.5,
    )
    rng = np.random.default_rng(0)
    weight = np.zeros((2, 3, 16, 32), np.float32)
    weight[..., 8:, 8:24] = rng.random((2, 3, 8, 16))  # of 2 x 4 patches only 5 and 6 count
    weight[1, :, :8, 8:24] = 1e4  # beside which they hardly do
    arrays = {
        "target": rng.random((2, 3, 16, 32, 3)).astype(np.float32),
        "weight": weight,
        "tokens": np.ones((2, 3, 4), np.int32),
        "references": rng.random((2, 1, 16, 32, 3)).astype(np.float32),
        "reference_mask": np.array([[[True]] * 3, [[False]] * 3]),
    }
    torch.manual_seed(0)
    batch = torch_train_step.tensors(arrays)
    seen = {k: x.numpy() for k, x in torch_train_step.noised(batch, 8, objective).items()}
    kept = seen["kept"]
    for places, first in zip(kept.reshape(6, 4), [{5, 6}] * 3 + [{1, 2}] * 3, strict=True):
        assert len(set(places)) == 4 and first <= set(places)
    x, weight = (np.asarray(patches.take(arrays[k], kept, 8)) for k in ("target", "weight"))
    np.testing.assert_allclose(seen["x"], 2 * x - 1, atol=1e-6)
    whole = np.maximum(weight.mean(-1, keepdims=True), 1e-6)
    np.testing.assert_allclose(seen["weight"], weight / whole, rtol=1e-5)
    t = seen["t"][..., None, None, None]
    assert (seen["t"][0] == 0).all() and (seen["t"][1] > 0).all()
    noise = (seen["z"] - t * seen["x"]) / (1 - t)
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05


def test_the_copy_learns(prepared, without_compiler):
    model, params, batch, objective = prepared
    settings = small()
    time = dataclasses.replace(objective.time, noise_share=1.0)
    objective = dataclasses.replace(objective, time=time)
    torch.manual_seed(0)
    network = train.copy_of(model, batch, params)
    optimizer = train.Optimizer(**settings["optimizer"] | {"learning_rate": 3e-3})
    step = torch_train_step.TorchStep(network, optimizer, objective, compiled=False, bfloat16=False)
    tensors = torch_train_step.tensors(batch)
    losses = [step(tensors) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])
