import numpy as np
import pytest
from PIL import ImageDraw

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


def test_the_kinds_of_instances_are_of_those_that_are_left():
    answer = {"ids": np.array([[[0, 1], [3, 3]]]), "names": [("cube", "cube", "sphere")]}
    asked = Question("instance_segmentation", "Color each cube and each sphere differently.")
    answer["confidence"] = blank = np.ones((1, 2, 2))
    said = figure.summary(Reply(asked, blank, answer, blank))
    assert said.startswith("2 instances (1 x cube, 1 x sphere)")
    del answer["names"]
    assert figure.summary(Reply(asked, blank, answer, blank)).startswith("2 instances (mean")


def pieces(monkeypatch):
    """Every text that is drawn, with the width that it needs and that of its strip."""
    seen, plain = [], ImageDraw.ImageDraw.text

    def text(self, xy, words, fill=None, font=None, anchor=None):
        width, height = self.im.size
        across = font.getlength(words)
        start = xy[0] - {"m": across / 2, "r": across}.get((anchor or "l")[0], 0)
        seen.append((words, start >= -1 and start + across <= width + 1 and xy[1] + 14 <= height))
        return plain(self, xy, words, fill, font, anchor)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return seen


@pytest.mark.parametrize("shape", [(40, 5), (40, 20), (5, 40)])
def test_no_text_is_cut_whatever_the_pictures_shape(monkeypatch, shape):
    seen = pieces(monkeypatch)
    names = [f"class number {i}" for i in range(12)] + ["the man who holds a very long name " * 3]
    legend = {name: (10 * i, 0, 255) for i, name in enumerate(names)}
    picture, masks = np.zeros((*shape, 3)), np.zeros((1, len(names), *shape), bool)
    read = {"masks": masks, "names": [names], "legends": [legend]}
    answer = read | {"confidence": np.ones((1, *shape))}
    prompt = ", ".join(names)
    asked = Question("referring_segmentation", prompt)
    reply = Reply(asked, picture, answer, picture, votes=16, pictures=16)
    page = figure.compose(reply, [picture])
    assert [words for words, fits in seen if not fits] == []
    said = " ".join(words for words, _ in seen)
    for words in (prompt, "drawn by the model, 1 of 16", figure.summary(reply), *names):
        assert " ".join(words.split()) in said
    white = (255, 255, 255)
    for i in range(len(names)):  # each swatch stands there whole, 13 pixels square within its line
        inside = (page == (10 * i, 0, 255)).all(-1)
        assert inside.sum() == 13 * 13, names[i]
    assert (page[-1] == white).all() and (page[:, -1] == white).all()
