"""The text tower: token ids to text features, trained jointly with the generator.

A frozen pre-trained encoder plugs in by handing its features to `Generator` in place of token ids
(`Generator(text_features=width)`); nothing else changes.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from vision_banana.models import layers
from vision_banana.models.precision import Precision
from vision_banana.models.sizes import Size


class TextBlock(nnx.Module):
    """A plain pre-norm transformer block over text tokens."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs) -> None:
        self.attention = layers.Attention(width, heads, rngs)
        self.mlp = layers.SwiGLU(width, width * 2, rngs)

    def __call__(
        self, x: jax.Array, angles: jax.Array, mask: jax.Array, precision: Precision
    ) -> jax.Array:
        """(G, Q, L, Dt) to (G, Q, L, Dt)."""
        h = layers.rms_norm(x)
        own = self.attention.keys_values(h, angles, precision)
        x = x + self.attention(h, angles, [own], mask, precision)
        return x + self.mlp(layers.rms_norm(x), precision)


class TextEmbedding(nnx.Module):
    """Token embedding, or a projection of a plugged encoder's features."""

    def __init__(self, size: Size, vocabulary: int, features: int, rngs: nnx.Rngs) -> None:
        self.features = features
        shape = (features or vocabulary, size.text_width)
        std = features**-0.5 if features else 1.0
        self.table = nnx.Param(std * jax.random.normal(rngs.params(), shape))

    def __call__(self, tokens: jax.Array, precision: Precision) -> tuple[jax.Array, jax.Array]:
        """Embeds token ids (G, Q, L) int, or features (G, Q, L, F) float.

        Returns:
          Embeddings (G, Q, L, Dt), and which tokens are not padding, bool (G, Q, L). Padding is
          id 0, or a feature vector of zeros.

        Raises:
          ValueError: ids where the model takes features, or features where it takes ids.
        """
        ids = jnp.issubdtype(tokens.dtype, jnp.integer)
        if ids == bool(self.features):
            raise ValueError(
                f"model.text_features is {self.features}: prompts must be "
                f"{'features of a plugged text encoder' if ids else 'token ids'}, and are "
                f"{tokens.dtype} {tokens.shape}"
            )
        if ids:
            # Cast behind the look-up, so that a token's gradients are summed in float32.
            return self.table[...][tokens].astype(precision.activations), tokens != 0
        x = layers.einsum("gqlf,fx->gqlx", tokens, self.table[...], precision)
        return x, jnp.any(tokens != 0, axis=-1)


def angles(length: int, size: Size) -> jax.Array:
    """Rotary angles of text positions, (L, K // 2)."""
    head_dim = size.text_width // size.text_heads
    return layers.rotary_angles(jnp.arange(length, dtype=jnp.float32)[:, None], head_dim, 1000.0)
