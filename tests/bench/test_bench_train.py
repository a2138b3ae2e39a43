import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vision_banana.bench import __main__ as command  # noqa: E402
from vision_banana.bench import torch_generator, torch_train_step, train  # noqa: E402


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
    assert result["largest_difference"] < train.TOLERANCE
    assert abs(sum(result["shares"].values()) - 1) < 1e-6
    assert min(result["shares"][x] for x in ("attention", "MLP", "text tower", "optimizer")) > 0
    assert len(result["seconds"]) == 5 and len(result["matrix_flops_per_second"]) == 4
    printed = capsys.readouterr().out
    assert "4 queries" in printed and "PyTorch compiled bfloat16" in printed


def test_the_config_keeps_what_the_bench_can_compare():
    settings = train.config()
    assert settings["model"]["size"] == "pocket"
    assert settings["optimizer"]["muon_rate"] == 0
    assert {x["references"] for x in settings["data"]["mixture"].values()} == {1}


@pytest.fixture(scope="module")
def prepared():
    """A model, weights and a batch."""
    settings = small()
    with train.pipeline.open_run(settings) as batches:
        batch = next(batches)
    model = train.Generator(**settings["model"])
    return model, train.weights.draw(model), batch


def test_another_network_is_noticed(prepared, monkeypatch):
    monkeypatch.setattr(torch_generator, "rotate", lambda x, angles: x)
    with pytest.raises(ValueError, match="differs by"):
        train.check(*prepared)


def test_the_copy_learns(prepared, without_compiler):
    model, params, batch = prepared
    settings = small()
    objective = train.run_lib.Objective(
        train.run_lib.TimeSampling(**settings["time"] | {"noise_share": 1.0}),
        **settings["objective"],
    )
    torch.manual_seed(0)
    network = train.copy_of(model, batch, params)
    optimizer = train.Optimizer(**settings["optimizer"] | {"learning_rate": 3e-3})
    step = torch_train_step.TorchStep(network, optimizer, objective, compiled=False, bfloat16=False)
    tensors = torch_train_step.tensors(batch)
    losses = [step(tensors) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])
