import numpy as np
import pytest

from vision_banana.evaluation import figure
from vision_banana.evaluation.own_pictures import Reply
from vision_banana.evaluation.questions import Question


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("metres", "said"),
    [
        ([1.0, 2.0, 4.0, 8.0], "nearest about 1.00 m, median 2.00 m"),
        ([5.0, 5.0, 5.0, np.inf], "nearest about 5.00 m, median 5.00 m, 25% infinitely far"),
        ([5.0, np.inf, np.inf, np.inf], "nearest about 5.00 m, median infinitely far, 75% inf"),
        ([np.inf] * 4, "nearest infinitely far, median infinitely far, 100% infinitely far"),
    ],
)
def test_depth_in_words(metres, said):
    depth_m = np.array(metres, np.float32).reshape(1, 2, 2)
    blank = np.zeros((2, 2, 3))
    answer = {"depth": depth_m, "confidence": np.ones((1, 2, 2))}
    assert figure.summary(Reply(Question("depth", "depth map"), blank, answer, blank)).startswith(
        said
    )
