"""What is seen in a reference picture before and after the transformer, by convolutions.

Early convolutions tell shapes apart from fewer pictures than patches alone do (arXiv 2106.14881).
Pixels pass one 3 x 3 convolution and are gathered into cells of half a patch; residual blocks run
over the cells, and the cells of a patch make its token. After the transformer the tokens are handed
back to the cells, and each cell gives features to its pixels: a U-Net with the transformer in its
middle, as the pixel decoder of MaskFormer (arXiv 2107.06278) over its backbone. A picture passes
once, whatever it is asked.

In sizes for large pictures, `Size.stride` pixels along each axis are put together first (space to
depth): what is said of a pixel then holds of such a square. An accelerator moves 128 numbers as
fast as the 3 colours of one pixel.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from vision_banana.models import layers, patches
from vision_banana.models.layers import einsum
from vision_banana.models.precision import Precision
from vision_banana.models.sizes import ACROSS, Size


class ConvBlock(nnx.Module):
    """A residual block of one 3 x 3 convolution over cells and a product."""

    def __init__(self, channels: int, rngs: nnx.Rngs) -> None:
        self.conv = layers.kernel(rngs, 9 * channels, (9 * channels, channels))
        self.mix = layers.kernel(rngs, channels, (channels, channels), layers.RESIDUAL_SCALE)

    def __call__(self, x: jax.Array, precision: Precision) -> jax.Array:
        """(G, R, H, W, C) to (G, R, H, W, C)."""
        h = patches.neighbors(layers.rms_norm(x))
        h = jax.nn.silu(einsum("grhwx,xf->grhwf", h, self.conv[...], precision))
        return x + einsum("grhwx,xf->grhwf", h, self.mix[...], precision)


class Stem(nnx.Module):
    """From a reference's pixels to tokens, and from its tokens back to pixels."""

    def __init__(self, size: Size, rngs: nnx.Rngs) -> None:
        self.stride, self.cell = size.stride, size.cell
        self.inner, channels = size.bottleneck, size.stem
        inner = self.inner or size.width
        near, around = self.cell**2 * (size.colors + size.near), 9 * size.colors
        self.pixel_in = layers.kernel(rngs, around, (around, size.near))
        self.cell_in = layers.kernel(rngs, near, (near, channels))
        self.down1, self.down2, self.up = (ConvBlock(channels, rngs) for _ in range(3))
        cells = ACROSS**2 * channels
        self.token_in = layers.kernel(rngs, cells, (cells, inner))
        if self.inner:
            self.token_up = layers.kernel(rngs, inner, (inner, size.width))
        self.cells_back = layers.kernel(rngs, size.width, (size.width, cells))
        self.cell_out = layers.kernel(rngs, channels, (channels, self.cell**2 * size.deep))

    def pixels(self, references: jax.Array, precision: Precision) -> jax.Array:
        """Colours and features from neighbours, (G, R, H, W, 3) to (G, R, H, W, colors + near)."""
        colors, h, w = patches.patchify(references, self.stride)
        colors = colors.reshape(*references.shape[:2], h, w, -1)
        x = patches.neighbors(colors)
        x = einsum("grhwx,xf->grhwf", x, self.pixel_in[...], precision)
        return jnp.concatenate([colors, jax.nn.silu(x)], axis=-1)

    def cells(self, pixels: jax.Array, precision: Precision) -> jax.Array:
        """(G, R, H, W, colors + near) to (G, R, H / cell, W / cell, C)."""
        x, h, w = patches.patchify(pixels, self.cell)
        x = einsum("grtx,xf->grtf", x, self.cell_in[...], precision)
        x = x.reshape(*x.shape[:2], h, w, x.shape[-1])
        return self.down2(self.down1(x, precision), precision)

    def tokens(self, cells: jax.Array, precision: Precision) -> jax.Array:
        """(G, R, H / cell, W / cell, C) to (G, R, T, D), T patches row by row."""
        x, _, _ = patches.patchify(cells, ACROSS)
        x = einsum("grtx,xd->grtd", x, self.token_in[...], precision)
        return einsum("grtx,xd->grtd", x, self.token_up[...], precision) if self.inner else x

    def decode(
        self, tokens: jax.Array, cells: jax.Array, pixels: jax.Array, precision: Precision
    ) -> jax.Array:
        """Features of the pixels of each patch of the first reference.

        Args:
          tokens: (G, R, T, D), behind the transformer.
          cells: (G, R, H / cell, W / cell, C), as from `cells`.
          pixels: (G, R, H, W, colors + near), as from `pixels`.
          precision: number formats.

        Returns:
          (G, T, P * features), P pixels of a patch row by row.
        """
        rows, columns = cells.shape[2:4]
        x = layers.constrain(layers.rms_norm(tokens[:, :1]))
        x = einsum("grtx,xf->grtf", x, self.cells_back[...], precision)
        x = patches.unpatchify(x, rows, columns, ACROSS) + cells[:, :1]
        x = layers.rms_norm(self.up(x, precision))
        x = einsum("grhwx,xf->grhwf", x, self.cell_out[...], precision)
        x = x.reshape(*x.shape[:2], rows * columns, -1)
        deep = patches.unpatchify(x, rows * self.cell, columns * self.cell, self.cell)
        x = jnp.concatenate([pixels[:, :1], deep.astype(pixels.dtype)], axis=-1)
        return patches.patchify(x[:, 0], self.cell * ACROSS)[0]
