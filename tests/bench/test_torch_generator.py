import dataclasses

import jax
import numpy as np
import pytest

from vision_banana.models import patches
from vision_banana.models.generator import Generator
from vision_banana.models.sizes import SIZES

torch = pytest.importorskip("torch")

from vision_banana.bench import torch_generator, weights  # noqa: E402

MODEL = Generator(size="nano", vocabulary=40, text_length=6, dtype="float32")
G, Q, SIDE = 2, 3, 32


def batch(references):
    rng = np.random.default_rng(1)
    tokens = rng.integers(1, 40, (G, Q, 6))
    tokens[0, 1, 3:] = 0
    tokens[1, 0] = 0
    mask = np.ones((G, Q, references), bool)
    mask[1, 1] = False
    return (
        rng.normal(size=(G, Q, SIDE, SIDE, 3)).astype(np.float32),
        rng.random((G, Q)).astype(np.float32),
        tokens,
        rng.uniform(-1, 1, (G, references, SIDE, SIDE, 3)).astype(np.float32),
        mask,
    )


@pytest.mark.parametrize(
    "references, kept", [(0, None), (1, [[3, 0, 9], [1, 3, 2], [15, 8, 0]]), (2, None)]
)
def test_same_weights_give_the_same_pictures(references, kept):
    params, arrays = weights.draw(MODEL), batch(references)
    theirs = torch_generator.TorchGenerator(MODEL, (SIDE, SIDE), references)
    theirs.load(params)
    if kept is not None:  # others of the second group
        kept = np.stack([kept, 15 - np.array(kept)])
        arrays = (np.array(patches.take(arrays[0], kept, MODEL.dims.patch)), *arrays[1:])
    asked = None if kept is None else torch.from_numpy(kept)
    with torch.no_grad():
        drawn = theirs(*(torch.from_numpy(x) for x in arrays), asked).numpy()
    ours = np.asarray(jax.jit(MODEL.apply, static_argnums=7)(params, *arrays, kept, (SIDE, SIDE)))
    assert np.std(ours) > 0.02
    np.testing.assert_allclose(drawn, ours, atol=2e-4 * np.abs(ours).max())


def test_a_form_of_the_model_without_a_copy_is_refused():
    full = dataclasses.replace(MODEL, attention="full")
    with pytest.raises(ValueError, match="prefix attention"):
        torch_generator.TorchGenerator(full, (SIDE, SIDE), 1)


def test_weights_that_the_copy_lacks_are_an_error():
    params = weights.draw(MODEL)
    params["ends"]["more"] = np.zeros((SIZES["nano"].width,), np.float32)
    with pytest.raises(ValueError, match="weights"):
        torch_generator.TorchGenerator(MODEL, (SIDE, SIDE), 1).load(params)
