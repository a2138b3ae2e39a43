import numpy as np
import pytest

from experiments.pretraining_helps import masked
from vision_banana.data import mixture, scenes


def test_three_quarters_of_the_patches_are_gray_and_asked_for():
    source = masked.MaskedScenes("train", 32, patch=8, hidden=0.75)
    example = source.example(5, "image_editing")
    picture = scenes.Scenes("train", 32).scene(5).rgb
    assert example.valid.sum() == 12 * 64  # of 16 patches of 64 pixels
    patches = example.valid.reshape(4, 8, 4, 8).swapaxes(1, 2).reshape(16, 64)
    assert (patches == patches[:, :1]).all()  # whole patches
    [seen] = example.references
    np.testing.assert_array_equal(seen[example.valid], 0.5)
    np.testing.assert_array_equal(seen[~example.valid], picture[~example.valid])
    np.testing.assert_array_equal(example.label, picture)
    again = source.example(5, "image_editing")
    np.testing.assert_array_equal(again.valid, example.valid)
    assert (source.example(6, "image_editing").valid != example.valid).any()


def test_the_loss_counts_hidden_patches_alone():
    row = {
        "source": {"name": "experiments.pretraining_helps.masked:MaskedScenes", "size": 16},
        "tasks": {"image_editing": 1.0}, "weight": 1.0, "references": 1, "flip": False,
    }  # fmt: skip
    group = mixture.Mixture([row], 1, 16, 16, 64, 0).group(0, 0)
    hidden = (group["references"][0] == 0.5).all(-1)
    np.testing.assert_array_equal(group["weight"][0], hidden)
    assert group["weight"].sum() == 3 * 64 and not group["bad"]


def test_masks_that_make_no_sense():
    with pytest.raises(ValueError, match="multiple of the patch"):
        masked.MaskedScenes("train", 20)
    for hidden in (0.0, 1.0):
        with pytest.raises(ValueError, match="some of 64 patches"):
            masked.MaskedScenes("train", 64, hidden=hidden)
    with pytest.raises(ValueError, match="cannot answer 'depth'"):
        masked.MaskedScenes().example(0, "depth")
