import types

import pytest

from vision_banana.training import profile_shares

PROGRAM = """\
HloModule jit_step

%fused_computation.1 (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  %a = f32[4]{0} negate(%p), metadata={op_name="jit(step)/jvp()/mlp/neg"}
  %b = f32[4]{0} negate(%a), metadata={op_name="jit(step)/jvp()/mlp/neg"}
  ROOT %c = f32[4]{0} negate(%b), metadata={op_name="jit(step)/jvp(ends)/neg"}
}

%body (p.1: f32[4]) -> f32[4] {
  %p.1 = f32[4]{0} parameter(0)
  ROOT %d = f32[4]{0} negate(%p.1), metadata={op_name="jit(step)/jvp(text_tower)/while/mlp/neg"}
}

ENTRY %main.7 (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %fusion.1 = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused_computation.1
  %loop = f32[4]{0} while(%fusion.1), body=%body, metadata={op_name="jit(step)/while"}
  ROOT %dot.2 = f32[4]{0} negate(%loop), metadata={op_name="jit(step)/transpose(jvp(attention))/x"}
}
"""


def test_operations_belong_to_the_scope_they_were_written_in():
    belongs = profile_shares.parts(PROGRAM)
    assert belongs["dot.2"] == "attention"
    assert belongs["d"] == "text tower"  # the outer scope decides
    assert belongs["fusion.1"] == "mlp"  # two of the three inside
    assert belongs["loop"] == "rest"


@pytest.mark.parametrize(
    "op_name, part",
    [
        ("jit(step)/update/mul", "optimizer"),
        ("jit(step)/jvp(ends)/dot", "ends"),
        ("jit(step)/jvp()/mul", "rest"),
        ("jit(step)/descends/mul", "rest"),
    ],
)
def test_names_of_scopes(op_name, part):
    assert profile_shares.part_of(op_name) == part


def test_time_inside_an_operation_is_not_counted_twice():
    def event(name, start, duration):
        return types.SimpleNamespace(name=name, start_ns=start, duration_ns=duration)

    def line(*events):
        return types.SimpleNamespace(events=events)

    # A loop of 100 holds 60 of the text tower; attention runs for 40 on another thread.
    one = line(
        event("loop", 0, 100), event("d", 10, 30), event("d", 50, 30), event("Execute", 0, 9)
    )
    profile = types.SimpleNamespace(
        planes=[types.SimpleNamespace(lines=[one, line(event("dot.2", 5, 40))])]
    )
    busy = profile_shares.busy_time(profile, profile_shares.parts(PROGRAM))
    assert busy == {"rest": 40, "text tower": 60, "attention": 40}
