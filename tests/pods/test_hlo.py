# ruff: noqa: E501 (HLO has long lines)
import pytest

from vision_banana.pods import collectives, hlo, memory_traffic

# Eight chips. A loop of five trips gathers a weight in two asynchronous pieces of one channel,
# sums a gradient and keeps a part of it, and starts another gather that ends in the next line.
PROGRAM = """\
HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%piece.1 (w: bf16[16,128]) -> (bf16[16,128], bf16[128,128]) {
  %w = bf16[16,128]{1,0:T(8,128)(2,1)} parameter(0)
  %all-gather.1 = bf16[128,128]{1,0:T(8,128)(2,1)} all-gather(%w), channel_id=7, replica_groups=mesh['x'=8,'y'=1] {'x'}, dimensions={0}, backend_config={"async_collective_fusion_config":{}}
  ROOT %custom.1 = (bf16[16,128]{1,0}, bf16[128,128]{1,0}) custom-call(%all-gather.1), custom_call_target="AsyncCollectiveStart"
}

%piece.2 (v: bf16[16,128], o: bf16[128,128]) -> bf16[128,128] {
  %v = bf16[16,128]{1,0:T(8,128)(2,1)} parameter(0)
  %o = bf16[128,128]{1,0} parameter(1)
  %all-gather.2 = bf16[128,128]{1,0:T(8,128)(2,1)} all-gather(%v), channel_id=7, replica_groups=mesh['x'=8,'y'=1] {'x'}, dimensions={0}, backend_config={"async_collective_fusion_config":{}}
  ROOT %custom.2 = bf16[128,128]{1,0} custom-call(%o, %all-gather.2), custom_call_target="AsyncCollectiveDone"
}

%all-reduce-scatter (g: f32[64,128]) -> f32[8,128] {
  %g = f32[64,128]{1,0} parameter(0)
  %all-reduce.1 = f32[64,128]{1,0} all-reduce(%g), channel_id=2, replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%add
  %zero = s32[] constant(0)
  ROOT %part = f32[8,128]{1,0} dynamic-slice(%all-reduce.1, %zero, %zero), dynamic_slice_sizes={8,128}
}

%body (p: (s32[], bf16[16,128], f32[64,128])) -> (s32[], bf16[16,128], f32[64,128]) {
  %p = (s32[]{:T(128)}, bf16[16,128]{1,0}, f32[64,128]{1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%p), index=0
  %w = bf16[16,128]{1,0} get-tuple-element(%p), index=1
  %g = f32[64,128]{1,0} get-tuple-element(%p), index=2
  %f.1 = (bf16[16,128]{1,0}, bf16[128,128]{1,0}) fusion(%w), kind=kCustom, calls=%piece.1
  %o = bf16[128,128]{1,0} get-tuple-element(%f.1), index=1
  %f.2 = bf16[128,128]{1,0} fusion(%w, %o), kind=kCustom, calls=%piece.2
  %rs = f32[8,128]{1,0} fusion(%g), kind=kCustom, calls=%all-reduce-scatter
  %start = (bf16[16,128]{1,0}, bf16[64,128]{1,0}) all-gather-start(%w), channel_id=3, replica_groups=[2,4]<=[4,2]T(1,0), dimensions={0}
  %done = bf16[64,128]{1,0} all-gather-done(%start)
  ROOT %t = (s32[]{:T(128)}, bf16[16,128]{1,0}, f32[64,128]{1,0}) tuple(%i, %w, %g)
}

%condition (q: (s32[], bf16[16,128], f32[64,128])) -> pred[] {
  %q = (s32[], bf16[16,128]{1,0}, f32[64,128]{1,0}) parameter(0)
  %bound = s32[]{:T(128)} constant(5)
  %n = s32[] get-tuple-element(%q), index=0
  ROOT %lt = pred[] compare(%n, %bound), direction=LT
}

ENTRY %main (x: bf16[16,128], y: f32[64,128]) -> f32[] {
  %x = bf16[16,128]{1,0} parameter(0)
  %y = f32[64,128]{1,0} parameter(1)
  %one = s32[] constant(0)
  %init = (s32[], bf16[16,128]{1,0}, f32[64,128]{1,0}) tuple(%one, %x, %y)
  %loop = (s32[], bf16[16,128]{1,0}, f32[64,128]{1,0}) while(%init), condition=%condition, body=%body
  %scalar = f32[] constant(1)
  ROOT %total = f32[] all-reduce(%scalar), channel_id=4, replica_groups=mesh['x'=2,'y'=4], device_ids=([4,2]T(1,0)) {'y'}, to_apply=%add
}
"""


@pytest.fixture(scope="module")
def program():
    return hlo.parse(PROGRAM)


def test_a_loop_runs_its_body_as_often_as_its_counter_says(program):
    counts = hlo.executions(program)
    assert (counts["main"], counts["body"], counts["piece.1"]) == (1, 5, 5)
    assert "add" not in counts and "condition" not in counts


def test_the_number_of_trips_the_compiler_noted_comes_first(program):
    loop = program.computations["main"]["loop"]
    noted = loop._replace(
        attributes=loop.attributes + ', backend_config={"known_trip_count":{"n":"9"}}'
    )
    assert hlo.trip_count(program, noted) == 9


def test_a_loop_without_a_bound_is_an_error():
    with pytest.raises(ValueError, match="cannot read how often the loop loop runs"):
        hlo.executions(hlo.parse(PROGRAM.replace("constant(5)", "parameter(5)")))


def test_arrays_and_their_place():
    line = "  ROOT %f = (bf16[2,3]{1,0:T(8,128)(2,1)S(1)}, /*index=1*/f32[]{:T(128)}) fusion(%a, %b), calls=%c"
    fusion = hlo.parse("ENTRY %e (a: f32[]) -> f32[] {\n" + line + "\n}\n").computations["e"]["f"]
    assert [(a.dtype, a.shape, a.in_hbm, a.bytes) for a in fusion.result] == [
        ("bf16", (2, 3), False, 12),
        ("f32", (), True, 4),
    ]
    assert fusion.operands == ("a", "b") and fusion.is_root


def test_each_collective_counts_once_with_its_trips(program):
    found = collectives.find(program, 8)
    by_kind = sorted((c.kind, c.dtype, len(c.group), c.times, c.bytes) for c in found)
    shard = 16 * 128 * 2
    assert by_kind == [
        ("all-gather", "bf16", 4, 5, 5 * 3 * shard),
        ("all-gather", "bf16", 8, 5, 5 * 7 * shard),
        ("all-reduce", "f32", 4, 1, 2 * 4 * 3 / 4),
        ("reduce-scatter", "f32", 8, 5, 5 * 64 * 128 * 4 * 7 / 8),
    ]


def test_groups_in_every_notation(program):
    found = {(c.kind, len(c.group)): c.group for c in collectives.find(program, 8)}
    assert found["all-gather", 8] == tuple(range(8))
    # Iota [4, 2] transposed: 0, 2, 4, 6, 1, 3, 5, 7; the first of two groups.
    assert found["all-gather", 4] == (0, 2, 4, 6)
    # A mesh of 2 x 4 over the same order; along y from its first device.
    assert found["all-reduce", 4] == (0, 2, 4, 6)
    read = lambda text: collectives._group(f"x, replica_groups={text}, to_apply=%a", 8)  # noqa: E731
    assert read("mesh['a'=8] {'a':(2)4}") == (0, 1, 2, 3)
    assert read("mesh['a'=8] {'a':(1)2}") == (0, 4)
    assert read("mesh['a'=2,'b'=2,'c'=2] {'a','c'}") == (0, 1, 4, 5)
    assert collectives._group("x, source_target_pairs={{3,1},{1,3}}, y=1", 8) == (3, 1)
    with pytest.raises(ValueError, match="cannot read the groups"):
        read("elsewhere")


def test_memory_traffic_by_hand():
    text = """\
HloModule m

%inner (stack: f32[10,64], n: s32[]) -> f32[64] {
  %stack = f32[10,64]{1,0} parameter(0)
  %n = s32[] parameter(1)
  %zero = s32[] constant(0)
  %row = f32[1,64]{1,0} dynamic-slice(%stack, %n, %zero), dynamic_slice_sizes={1,64}
  %flat = f32[64]{0} bitcast(%row)
  ROOT %twice = f32[64]{0} add(%flat, %flat)
}

%update (stack: f32[10,64], row: f32[1,64], n: s32[]) -> f32[10,64] {
  %stack = f32[10,64]{1,0} parameter(0)
  %row = f32[1,64]{1,0} parameter(1)
  %n = s32[] parameter(2)
  %zero = s32[] constant(0)
  ROOT %dus = f32[10,64]{1,0} dynamic-update-slice(%stack, %row, %n, %zero)
}

ENTRY %main (a: f32[10,64], b: f32[1,64], i: s32[]) -> f32[10,64] {
  %a = f32[10,64]{1,0} parameter(0)
  %b = f32[1,64]{1,0} parameter(1)
  %i = s32[]{:S(2)} parameter(2)
  %f = f32[64]{0} fusion(%a, %i), kind=kLoop, calls=%inner
  %near = f32[64]{0:S(1)} negate(%f)
  %c = (f32[64]{0:S(1)}, f32[64]{0}, u32[]{:S(2)}) copy-start(%f)
  %d = f32[64]{0:S(1)} copy-done(%c)
  ROOT %g = f32[10,64]{1,0} fusion(%a, %b, %i), kind=kLoop, calls=%update
}
"""
    # A row read and a row written; a row read into near memory, twice; a row read and written.
    row = 64 * 4
    assert memory_traffic.count(hlo.parse(text), []) == (2 + 1 + 1 + 2) * row


def test_collectives_memory_counts_by_itself(program):
    found = collectives.find(program, 8)
    shard, whole, gradient = 16 * 128 * 2, 128 * 128 * 2, 64 * 128 * 4
    trip = (shard + whole) + 2 * gradient + (shard + shard + whole / 2)
    assert memory_traffic.count(program, found) == 5 * trip + 2 * 4


# What crosses two slices of four chips is handed to the host and comes back.
ACROSS = """\
HloModule jit_step, is_scheduled=true

ENTRY %main (x: f32[8,128]) -> f32[8,128] {
  %x = f32[8,128]{1,0:T(8,128)} parameter(0)
  %after = token[] after-all(), frontend_attributes={MegascaleRendezvousKeyName="all-reduce.1_0"}
  %send.1 = (f32[8,128]{1,0:T(8,128)}, u32[], token[]) send(%x, %after), channel_id=2, is_host_transfer=true, frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime",_xla_megascale_reduce_operation="SUM",_xla_megascale_target="{1,2}x{0:3}",_xla_megascale_transfer_type="ALL_REDUCE"}
  %recv.1 = (f32[8,128]{1,0:T(8,128)}, u32[], token[]) recv(%after), channel_id=1, is_host_transfer=true, frontend_attributes={_xla_megascale_target="{1,2}x{0:3}",_xla_megascale_transfer_type="ALL_REDUCE"}
  %sent = token[] send-done(%send.1), channel_id=2, is_host_transfer=true
  %got = (f32[8,128]{1,0:T(8,128)}, token[]) recv-done(%recv.1), channel_id=1, is_host_transfer=true
  ROOT %y = f32[8,128]{1,0:T(8,128)} get-tuple-element(%got), index=0
}
"""


def test_what_crosses_slices_is_a_collective_of_one_chip_of_each():
    program = hlo.parse(ACROSS)
    (found,) = collectives.find(program, 8)
    assert found == collectives.Collective("all-reduce", 4096, (0, 4), 1, "f32", 8192)
    assert found.bytes == 4096 and memory_traffic.count(program, [found]) == 8192
    odd = hlo.parse(ACROSS.replace("ALL_REDUCE", "SOMETHING"))
    with pytest.raises(ValueError, match="send to the host"):
        collectives.find(odd, 8)
