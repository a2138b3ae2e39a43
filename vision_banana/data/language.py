"""What weights must agree on with the code: tokenizer, colour codes, prompts, image range."""

from typing import Any

from vision_banana.tasks import depth, surface_normals
from vision_banana.text import tokenizer

PROMPT_VERSION = 1


def describe() -> dict[str, Any]:
    """The language of this version, a JSON object that goes with every checkpoint."""
    return {
        "tokenizer": tokenizer.digest(),
        "depth": {
            "lambda": float(depth.LAMBDA),
            "c": round(depth.SCALE_M / -depth.LAMBDA, 6),
            "path": [list(map(int, corner)) for corner in depth.CUBE_PATH],
        },
        "surface_normals": [int(s) for s in surface_normals.AXIS_SIGNS],
        "prompts": PROMPT_VERSION,
        "image_range": [-1, 1],
    }


def check_vocabulary(vocabulary: int) -> None:
    """Checks that a model has an embedding for every token id.

    Raises:
      ValueError: where it has not; names both numbers.
    """
    if vocabulary < tokenizer.VOCAB_SIZE:
        raise ValueError(
            f"config.model.vocabulary is {vocabulary}, but the tokenizer has "
            f"{tokenizer.VOCAB_SIZE} token ids; set it to at least {tokenizer.VOCAB_SIZE}"
        )
