"""What the target attends to."""

from typing import Any, NamedTuple

import jax

from vision_banana.models import text_match


class Context(NamedTuple):
    """What the target attends to, computed once and reused over sampling steps.

    With `prefix` attention, `references` and `text` are keys and values with a leading axis of
    blocks, or None where there are no references; with `full` attention they are embedded tokens.

    Attributes:
      references: (depth, G, N, R * T, K) keys and values, or (G, R, T, D) tokens.
      reference_mask: (G, Q, R * T) bool, which reference tokens a query sees.
      text: (depth, G, Q, N, L, K) keys and values, or (G, Q, L, D) tokens.
      text_mask: (G, Q, L) bool, False on padding.
      pooled: (G, Q, D), the mean text feature, which modulates the blocks.
      aligned: (G, h, w, D), the features of the first reference's h x w patches, which are added to
        the target's where both have one shape; None without references. With `prefix`
        attention they have passed through the blocks, with `full` they have not.
      pixels: features of the pixels of the first reference's patches (see `models.stem`) and
        queries to words, see `text_match.Pixels`; None without references.
      words: what the prompts' words offer to pixels.
    """

    references: Any
    reference_mask: jax.Array
    text: Any
    text_mask: jax.Array
    pooled: jax.Array
    aligned: jax.Array | None
    pixels: text_match.Pixels | None
    words: text_match.Words
