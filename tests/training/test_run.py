import pytest
import tiny_run

from configs import quickstart
from vision_banana.training import run


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("log_every", 0), ("checkpoint_every", 0), ("seed", -1), ("seed", 2**31)],
)
def test_numbers_out_of_range_are_errors(field, value):
    with pytest.raises(ValueError, match=rf"config\.{field} is {value}"):
        run.build(tiny_run.config(**{field: value}))


def test_heads_that_the_mesh_does_not_divide_are_told(caplog):
    caplog.set_level("WARNING", logger="absl")
    c = quickstart.get_config("tune").to_dict()
    c["model"]["size"], c["mesh"] = "B", {"replica": 1, "fsdp": 1, "tensor": 8}  # 12 heads
    run.build(c)
    assert "config.mesh.tensor is 8: it does not divide blocks/attention/" in caplog.text
    caplog.clear()
    run.build(c | {"mesh": {"replica": 2, "fsdp": 1, "tensor": 4}})
    assert not caplog.text
