import pytest
import tiny_run

from vision_banana.training import run


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("log_every", 0), ("checkpoint_every", 0), ("seed", -1), ("seed", 2**31)],
)
def test_numbers_out_of_range_are_errors(field, value):
    with pytest.raises(ValueError, match=rf"config\.{field} is {value}"):
        run.build(tiny_run.config(**{field: value}))
