import re
import types

import jax
import jax.numpy as jnp
import pytest

from configs import large_1b, quickstart
from vision_banana.data import pipeline
from vision_banana.models import attention, precision
from vision_banana.models.generator import Generator
from vision_banana.pods import hlo, plan, topology
from vision_banana.training import sharding


def config(**model):
    c = large_1b.get_config()
    c.model.update(dict(size="nano", text_length=8) | model)
    c.mesh = dict(replica=4, fsdp=1, tensor=1)  # every chip holds every weight
    c.data.update(dict(size=32, groups=4, queries=2))
    return c.to_dict()


@pytest.fixture(scope="module")
def place():
    pytest.importorskip("libtpu", reason="TPU's compiler is not installed (extra `tpu`)")
    return topology.parse("v5e:2x2")


@pytest.fixture(scope="module")
def compiled(place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hlo")
    report = plan.plan(
        config(), place, price=2.0, efficiency=0.5, sampling_steps=2, hlo_folder=folder
    )
    return report, (folder / "train_0.txt").read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("efficiency", 0.0),
        ("efficiency", -0.5),
        ("efficiency", 1.5),
        ("efficiency", float("nan")),
        ("price", -1.0),
        ("price", float("inf")),
        ("sampling_steps", -1),
    ],
)
def test_numbers_without_sense_are_refused_before_any_work(monkeypatch, name, value):
    monkeypatch.setattr(plan.run_lib, "build", lambda *_: pytest.fail("it went to work"))
    with pytest.raises(ValueError, match=f"--{name} is {value:g}; it must be"):
        plan.plan(config(), topology.parse("v5e:2x2"), **{name: value})


def test_a_report_adds_up(compiled):
    report, _ = compiled
    program, schedule = report["train"][0], report["schedule"]
    memory = program["memory_bytes"]
    held = memory["weights"] + memory["optimizer"] + memory["batch_and_rest"]
    assert held == memory["arguments"]
    # Float32 weights, average and two moments of AdamW.
    assert memory["weights"] == 2 * 4 * report["parameters"]
    assert 0 <= memory["optimizer"] - 2 * 4 * report["parameters"] < 1000
    used = sum(memory[k] for k in ("arguments", "activations_and_temporaries", "results", "code"))
    assert memory["headroom"] == 16 * 2**30 - used
    times = program["roofline_seconds"]
    assert times["step"] == max(times[k] for k in ("compute", "hbm", "ici", "dcn")) > 0
    assert times[program["binds"]] == times["step"]
    # Full remat: more than the model's own operations, less than a second forward pass more.
    assert 1.0 < program["flops"]["step"] / program["flops"]["model"] < 4 / 3
    assert program["mfu_bound"] == pytest.approx(program["flops"]["model"] / 197e12 / times["step"])
    hours = 200_000 * times["step"] / 3600 * 4 / 0.5
    assert schedule["chip_hours"] == pytest.approx(hours)
    assert schedule["dollars"] == pytest.approx(2 * hours)
    assert report["sample"]["roofline_seconds"]["step"] > 0


def test_gradients_are_summed_over_all_chips(compiled):
    report, _ = compiled
    sums = report["train"][0]["collective_bytes"]["all-reduce f32"]
    # Every weight's gradient once, in float32: 2 (n - 1) / n of its bytes. A step without
    # references leaves out the weights that only they use.
    model = Generator(**config()["model"], processor="tpu")
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    used = sum(
        leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
        if not any(name in str(path) for name in ("reference", "aligned", "still"))
    )
    expected = 2 * 3 / 4 * 4 * used
    assert 0.99 * expected < sums < 1.02 * expected  # the biases of heads are summed in bfloat16


def test_the_tpu_program_multiplies_bfloat16_alone(compiled):
    _, text = compiled
    program = hlo.parse(text)
    products = [
        [computation[o].result[0].dtype for o in i.operands]
        for computation in program.computations.values()
        for i in computation.values()
        if i.opcode in ("convolution", "dot")
    ]
    assert len(products) > 20
    assert {dtype for pair in products for dtype in pair} == {"bf16"}
    assert not re.search(r"operand_precision=\{(high|highest)", text)


def test_splash_attention_compiles_for_a_tpu(place):
    mesh = sharding.make_mesh({"replica": 2, "fsdp": 2, "tensor": 1}, topology.devices(place))
    rows = sharding.batch_sharding(mesh)
    q = jax.ShapeDtypeStruct((4, 2, 1, 100, 128), jnp.bfloat16, sharding=rows)
    kv = jax.ShapeDtypeStruct((4, 2, 1, 140, 128), jnp.bfloat16, sharding=rows)
    mask = jax.ShapeDtypeStruct((4, 2, 140), jnp.bool_, sharding=rows)
    numbers = precision.choose("bfloat16", "tpu")

    def loss(q, k, v, mask):
        mixed = attention.attend(q, [attention.KeysValues(k, v)], mask, numbers, "splash")
        return jnp.sum(mixed.astype(jnp.float32))

    with jax.set_mesh(mesh):
        text = jax.jit(jax.grad(loss, (0, 1, 2))).lower(q, kv, kv, mask).compile().as_text()
    assert text.count("tpu_custom_call") >= 3  # forward, and two kernels backward
    assert "all-gather" not in text  # each chip attends for its own rows


def test_a_program_that_needs_too_much_memory_does_not_fit():
    place, gib = topology.parse("v5e:2x2"), 2**30
    stats = types.SimpleNamespace(
        argument_size_in_bytes=4 * gib,
        temp_size_in_bytes=9 * gib,
        output_size_in_bytes=6 * gib,
        alias_size_in_bytes=4 * gib,  # results that lie where arguments lay
        generated_code_size_in_bytes=gib,
    )
    assert plan._memory(stats, place) == {
        "arguments": 4 * gib,
        "activations_and_temporaries": 9 * gib,
        "results": 2 * gib,
        "code": gib,
        "headroom": 0,
    }
    stats.temp_size_in_bytes += 1
    message = r"16.0 GiB on each chip \(arguments 4.0, temporaries 9.0\); a v5e chip has 16 GiB"
    with pytest.raises(plan.DoesNotFit, match=message):
        plan._memory(stats, place)


def test_a_compiler_that_runs_out_of_memory_says_so_in_its_first_line():
    def full():
        raise jax.errors.JaxRuntimeError(said)

    place, mesh = topology.parse("v5e:2x2"), jax.make_mesh((1,), ("replica",))
    traced = types.SimpleNamespace(lower=lambda: types.SimpleNamespace(compile=full))
    said = "RESOURCE_EXHAUSTED: used 17.21G of 15.75G hbm.\nTotal hbm usage: 17.47G"
    with pytest.raises(plan.DoesNotFit, match=r"^RESOURCE_EXHAUSTED: .* hbm\.$"):
        plan._compile(traced, place, mesh, None)
    said = "INTERNAL: the compiler broke"
    with pytest.raises(jax.errors.JaxRuntimeError, match=said):
        plan._compile(traced, place, mesh, None)


def test_a_sum_over_two_slices_goes_by_stages():
    pytest.importorskip("libtpu", reason="TPU's compiler is not installed (extra `tpu`)")
    place = topology.parse("v5e:2x2", slices=2)
    chips = topology.devices(place)
    assert [chip.slice_index for chip in chips] == [0, 0, 0, 0, 1, 1, 1, 1]
    mesh = sharding.make_mesh({"replica": 2, "fsdp": 4, "tensor": 1}, chips)
    rows = jax.ShapeDtypeStruct((8, 1024, 128), jnp.float32, sharding=sharding.batch_sharding(mesh))
    whole = jax.NamedSharding(mesh, jax.P())
    with jax.set_mesh(mesh):
        traced = jax.jit(lambda x: jnp.sum(x, 0), out_shardings=whole).trace(rows)
    times = plan._compile(traced, place, mesh, None)["roofline_seconds"]
    # A slice sums and gathers over one link along each axis; a quarter crosses the network.
    assert times["ici"] == pytest.approx(2 * 3 / 4 * 4 * 1024 * 128 / (2 * 45e9))
    assert times["dcn"] == pytest.approx(2 * 1 / 2 * 1024 * 128 / 3.125e9)


def test_the_cost_of_mixed_batches_is_weighted_by_the_mixture():
    row = dict(references=0, weight=3.0)
    mixture = dict(a=row, b=dict(references=1, weight=1.0), c=dict(references=2, weight=0.0))
    assert plan.reference_shares(mixture) == {0: 0.75, 1: 0.25}


def test_an_abstract_batch_is_what_the_pipeline_makes():
    c = quickstart.get_config("tune")
    c.data.update(dict(groups=2, queries=2))
    settings = c.to_dict()
    with pipeline.open_run(settings) as batches:
        real = next(batches)
    mesh = sharding.make_mesh({"replica": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    abstract = plan.abstract_batch(settings, mesh, real["references"].shape[1])
    assert {k: (v.shape, v.dtype) for k, v in abstract.items()} == {
        k: (v.shape, v.dtype) for k, v in real.items()
    }
