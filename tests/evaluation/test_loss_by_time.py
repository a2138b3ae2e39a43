"""The loss at given times."""

import types

import numpy as np
import pytest

from vision_banana.data import scenes
from vision_banana.evaluation import loss_by_time

# Answers the noisy picture itself: the error is (1 - t)^2 |noise - x|^2.
COPY = types.SimpleNamespace(text_length=64, apply=lambda params, z, *rest: z)


def test_an_answer_of_the_noisy_picture_itself_has_a_known_error():
    found = loss_by_time.measure(COPY, {}, 16, (0.0, 0.5), groups=3)
    assert set(found) <= set(scenes.TASKS) and len(found) > 3
    for error in found.values():
        assert error.shape == (2,)
        assert error[1] == pytest.approx(error[0] / 4, rel=1e-3)
    # x lies in [-1, 1] and noise is standard normal, so E|noise - x|^2 lies between 1 and 2.
    assert 0.9 < np.mean([error[0] for error in found.values()]) < 2.1


def test_a_time_outside_is_refused():
    with pytest.raises(ValueError, match=r"time 1\.0 is outside"):
        loss_by_time.measure(COPY, {}, 16, (0.5, 1.0))
