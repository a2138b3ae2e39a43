"""Floating-point operations of the generator's matrix products, counted from its dimensions.

A multiplication and its addition are two operations. Everything else (norms, softmax, rotary
positions, the optimiser) is left out, as it is where matrix rates are stated. What is computed
again to save memory is not counted twice.
"""

from typing import NamedTuple

from vision_banana.models import patches
from vision_banana.models.ends import TIME_FEATURES
from vision_banana.models.generator import Generator
from vision_banana.models.sizes import ACROSS
from vision_banana.models.text_match import HIDDEN, SHARED

CELLS = ACROSS**2  # of the stem in a patch
PARTS = ("text tower", "text match", "attention", "mlp", "stem", "ends")


class Batch(NamedTuple):
    """How much there is of everything.

    Attributes:
      groups: G.
      queries: Q of a group.
      references: R of a group.
      patches: of a picture, targets and references alike.
      kept: of a target's patches, those that are computed.
      text: L, tokens of a prompt.
    """

    groups: int
    queries: int
    references: int
    patches: int
    kept: int
    text: int


def batch_of(
    model: Generator,
    groups: int,
    queries: int,
    references: int,
    size: tuple[int, int],
    kept_share: float = 1.0,
) -> Batch:
    """The sizes of a batch of pictures of H x W pixels, of whose patches a share is computed."""
    tokens = size[0] * size[1] // model.dims.patch**2
    kept = patches.count_kept(tokens, kept_share)
    return Batch(groups, queries, references, tokens, kept, model.text_length)


def encode(model: Generator, batch: Batch) -> dict[str, float]:
    """Of one pass over text and references, by part."""
    size, (G, Q, R, T, _, L) = model.dims, batch
    D, Dt = size.width, size.text_width
    text_tokens, reference_tokens = G * Q * L, G * R * T
    # With full attention, the blocks run over all tokens at once, at every step.
    in_blocks, text_keys = (0, 0) if model.attention == "full" else (reference_tokens, text_tokens)
    ends = 2.0 * Dt * D * G * Q
    if R:
        ends += 2 * patches.PLACE_FEATURES * D * T + 2 * D * D * G * T
    if model.attention == "full":
        ends += 2 * Dt * D * text_tokens
    tower = size.text_depth * (8.0 * Dt * Dt + 4 * L * Dt + 6 * Dt * (2 * Dt))
    return {
        "attention": size.depth * (in_blocks * (8.0 * D * D + 4 * T * D) + text_keys * 4 * Dt * D),
        "mlp": size.depth * in_blocks * 6.0 * D * size.mlp_width,
        "text tower": text_tokens * (tower + 2.0 * model.text_features * Dt),
        "text match": 2.0 * Dt * (SHARED + 3) * text_tokens
        + (2.0 * (size.features + SHARED) * HIDDEN * size.squares * G * T if R else 0),
        "stem": (_stem(model) * R + _pixel_decoder(model)) * G * T if R else 0.0,
        "ends": ends,
    }


def denoise(model: Generator, batch: Batch) -> dict[str, float]:
    """Of one pass over the targets, by part."""
    size, (G, Q, R, T, kept, L) = model.dims, batch
    D = size.width
    tokens, seen = G * Q * kept, L + R * T + kept
    in_blocks = G * Q * seen if model.attention == "full" else tokens
    return {
        "attention": size.depth * in_blocks * (8.0 * D * D + 4 * seen * D),
        "mlp": size.depth * in_blocks * 6.0 * D * size.mlp_width,
        "text tower": 0.0,
        "text match": 2.0 * (SHARED + 4) * (L + 1) * size.squares * tokens if R else 0.0,
        "stem": 0.0,
        "ends": _embed(model, size.patch**2 * 3) * tokens
        + 2 * patches.PLACE_FEATURES * D * T
        + G * Q * (2 * TIME_FEATURES * D + 2 * D * D + 2 * D * 8 * D)
        + 2.0 * D * 3 * tokens * size.patch**2
        # Two maps, drawn and used.
        + (2.0 * 2 * size.colors * size.features * (D + size.squares) * tokens if R else 0),
    }


def answer(model: Generator, batch: Batch, steps: int, passes: int = 1) -> float:
    """Of `passes` passes over text and references and `steps` over the targets of a batch."""
    once, each = encode(model, batch), denoise(model, batch)
    return passes * sum(once.values()) + steps * sum(each.values())


def train_step(model: Generator, batch: Batch) -> dict[str, float]:
    """Of the loss and its gradient, by part.

    A product has two in the backward pass, but one where its input is data.
    """
    once, each = encode(model, batch), denoise(model, batch)
    parts = {name: 3 * (once[name] + each[name]) for name in PARTS}
    size, (G, Q, R, T, _, L) = model.dims, batch
    first = 2 * size.patch**2 * 3 * (size.bottleneck or size.width)
    parts["ends"] -= first * G * Q * batch.kept + 2 * TIME_FEATURES * size.width * G * Q
    parts["stem"] -= 2 * 9 * size.colors * size.near * size.squares * G * R * T
    parts["ends"] -= 2 * patches.PLACE_FEATURES * size.width * T * (2 if R else 1)
    parts["text tower"] -= 2 * model.text_features * size.text_width * G * Q * L
    return parts


def _embed(model: Generator, inputs: int) -> float:
    """From a patch's pixels or cells to a token."""
    size, inner = model.dims, model.dims.bottleneck
    return 2.0 * (inputs * inner + inner * size.width if inner else inputs * size.width)


def _conv_block(model: Generator) -> float:
    """Of one cell."""
    return 2.0 * 10 * model.dims.stem**2


def _stem(model: Generator) -> float:
    """From a reference's pixels to a token."""
    size = model.dims
    cell = 2.0 * size.cell**2 * (size.colors + size.near) * size.stem + 2 * _conv_block(model)
    near = 2.0 * 9 * size.colors * size.near * size.squares
    return near + CELLS * cell + _embed(model, CELLS * size.stem)


def _pixel_decoder(model: Generator) -> float:
    """From a token back to features of pixels."""
    size = model.dims
    out = 2.0 * size.stem * size.cell**2 * size.deep
    return CELLS * (2.0 * size.width * size.stem + _conv_block(model) + out)
