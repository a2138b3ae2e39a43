"""Model sizes as a table: a size is a name."""

import dataclasses

ACROSS = 2  # cells of the stem along a side of a patch


@dataclasses.dataclass(frozen=True)
class Size:
    """Dimensions of one generator.

    Attributes:
      depth: number of transformer blocks.
      width: channels D of the residual stream.
      heads: attention heads N; the head dimension is `width // heads`, a multiple of 8.
      patch: side of a square patch in pixels.
      bottleneck: channels between a patch's pixels and the width, 0 for a direct projection
        (JiT, arXiv 2511.13720, section 4, shows that large patches want one).
      stem: channels of the convolutions over a reference's cells (see `models.stem`).
      stride: side in pixels of the squares that have one feature vector in a reference; 1 for
        features of single pixels. Large pictures have them at stride 4, as MaskFormer has.
      text_depth: blocks of the text tower.
      text_width: channels of the text tower.
      text_heads: attention heads of the text tower; one alone binds a colour to its phrase slowly.
      image_size: side in pixels of the pictures that the size is meant for.
    """

    depth: int
    width: int
    heads: int
    patch: int
    bottleneck: int
    stem: int
    stride: int
    text_depth: int
    text_width: int
    text_heads: int
    image_size: int

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads

    @property
    def side(self) -> int:
        """Patches along a side of a picture of `image_size`."""
        return self.image_size // self.patch

    @property
    def cell(self) -> int:
        """Side in squares of `stride` pixels of a cell of the stem."""
        return self.patch // ACROSS // self.stride

    @property
    def squares(self) -> int:
        """Squares of `stride` pixels in a patch."""
        return (self.patch // self.stride) ** 2

    @property
    def colors(self) -> int:
        """Colour values of a square."""
        return 3 * self.stride**2

    @property
    def features(self) -> int:
        """Features of a square: its colours, `near` and `deep`."""
        return 32 * self.stride

    @property
    def deep(self) -> int:
        """Features of a square from its cell, behind the transformer."""
        return self.features // 2

    @property
    def near(self) -> int:
        """Features of a square from its neighbours."""
        return self.features - self.deep - self.colors

    @property
    def mlp_width(self) -> int:
        """Hidden channels of the SwiGLU layer: 8/3 of the width, a multiple of 64."""
        return -(-self.width * 8 // 3 // 64) * 64


SIZES = {
    # depth, width, heads, patch, bottleneck, stem, stride, text depth, width and heads, image size
    "nano": Size(2, 64, 2, 8, 0, 16, 1, 1, 64, 1, 64),  # for tests
    "mini": Size(2, 128, 4, 8, 0, 64, 1, 2, 64, 4, 64),  # for minutes of training
    "tiny": Size(6, 128, 4, 8, 0, 64, 1, 2, 64, 4, 64),
    "pocket": Size(6, 160, 4, 8, 0, 96, 1, 2, 96, 4, 64),
    "B": Size(12, 768, 12, 16, 128, 128, 4, 6, 512, 8, 256),
    "L": Size(24, 1024, 16, 16, 128, 128, 4, 8, 768, 12, 256),
    "XL": Size(28, 1280, 16, 32, 128, 192, 4, 12, 1024, 16, 512),
    "1B": Size(28, 1536, 12, 32, 256, 256, 4, 12, 1024, 16, 512),
    "2B": Size(32, 2304, 18, 32, 256, 256, 4, 16, 1536, 24, 512),
    "8B": Size(40, 3840, 30, 32, 512, 512, 4, 24, 2048, 32, 1024),
}
