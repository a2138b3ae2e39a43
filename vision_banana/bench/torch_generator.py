"""The generator with `prefix` attention once more, in PyTorch: what its speed is measured against.

Module for module the network of `vision_banana.models`, with the same names of weights, written
as one writes PyTorch: linear layers, fused attention, autocast for bfloat16. A batch is flat here:
B = G * Q targets, and G * R references whose keys and values the Q queries of a group share.
"""

import functools
import operator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vision_banana.models import layers, patches, text_encoder
from vision_banana.models.ends import TIME_FEATURES
from vision_banana.models.generator import Generator
from vision_banana.models.sizes import ACROSS, Size
from vision_banana.models.text_match import HIDDEN, NULL, SHARED

KeysValues = tuple[torch.Tensor, torch.Tensor]


def _linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(shape))


def _tensor(x: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(x, np.float32))


def rms_norm(x: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
    """Root-mean-square normalisation over the last axis, computed in float32."""
    return F.rms_norm(x.float(), x.shape[-1:], scale, 1e-6).to(x.dtype)


def rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turns channel pairs of (..., T, K) by (T, K // 2) angles."""
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class SwiGLU(nn.Module):
    """Gated feed-forward layer, (B, T, D) to (B, T, D)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate, self.up = _linear(width, hidden), _linear(width, hidden)
        self.down = _linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (_linear(width, width) for _ in range(3))
        self.out = _linear(width, width)
        self.query_norm, self.key_norm = (_parameter(width // heads) for _ in range(2))
        self.query_bias, self.key_bias = (_parameter(heads, 1, width // heads) for _ in range(2))

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, N * K) to (B, N, T, K)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, x: torch.Tensor, angles: torch.Tensor) -> KeysValues:
        """(B, T, D) to keys and values (B, N, T, K), keys normalised and rotated."""
        keys = rms_norm(self.split(self.key(x)), self.key_norm)
        return rotate(keys + self.key_bias.to(keys.dtype), angles), self.split(self.value(x))

    def forward(
        self, x: torch.Tensor, angles: torch.Tensor, seen: KeysValues, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """(B, T, D) attends to keys and values (B, N, S, K) where `mask` (B, S) is true."""
        q = rms_norm(self.split(self.query(x)), self.query_norm)
        q = rotate(q + self.query_bias.to(q.dtype), angles)
        mask = None if mask is None else mask[:, None, None]
        mixed = F.scaled_dot_product_attention(q, *seen, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))


class TextBlock(nn.Module):
    """A plain pre-norm block over text tokens, (B, L, Dt) to (B, L, Dt)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.mlp = SwiGLU(width, 2 * width)

    def forward(self, x: torch.Tensor, angles: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """See the class."""
        h = rms_norm(x)
        x = x + self.attention(h, angles, self.attention.keys_values(h, angles), mask)
        return x + self.mlp(rms_norm(x))


class Block(nn.Module):
    """A block of the generator, over the target's or the references' stream."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.attention = Attention(size.width, size.heads)
        self.mlp = SwiGLU(size.width, size.mlp_width)
        self.modulation, self.still_modulation = (_parameter(6, size.width) for _ in range(2))
        self.text_key = _linear(size.text_width, size.width)
        self.text_value = _linear(size.text_width, size.width)
        self.text_key_norm = _parameter(size.head_dim)

    def text_keys_values(self, text: torch.Tensor) -> KeysValues:
        """Text features (B, L, Dt) to keys and values (B, N, L, K)."""
        split = self.attention.split
        return rms_norm(split(self.text_key(text)), self.text_key_norm), split(
            self.text_value(text)
        )

    def forward(
        self,
        x: torch.Tensor,
        modulation: torch.Tensor,
        angles: torch.Tensor,
        context: tuple[KeysValues, ...] = (),
        mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, KeysValues]:
        """(B, T, D) with modulation (B or 1, 6, D); returns it and the keys and values it gave."""
        parts = modulation.to(x.dtype).unsqueeze(-2).unbind(1)
        shift1, scale1, gate1, shift2, scale2, gate2 = parts
        h = rms_norm(x) * (1 + scale1) + shift1
        own = self.attention.keys_values(h, angles)
        keys, values = (torch.cat(part, dim=2) for part in zip(*context, own, strict=True))
        x = x + gate1 * self.attention(h, angles, (keys, values), mask)
        h = rms_norm(x) * (1 + scale2) + shift2
        return x + gate2 * self.mlp(h), own


def patchify(x: torch.Tensor, patch: int) -> torch.Tensor:
    """(B, H, W, C) to (B, h, w, patch * patch * C)."""
    x = x.unflatten(2, (-1, patch)).unflatten(1, (-1, patch))
    return x.permute(0, 1, 3, 2, 4, 5).flatten(3)


def unpatchify(x: torch.Tensor, patch: int) -> torch.Tensor:
    """The inverse of `patchify`."""
    x = x.unflatten(-1, (patch, patch, -1)).permute(0, 1, 3, 2, 4, 5)
    return x.flatten(3, 4).flatten(1, 2)


def convolve(x: torch.Tensor, linear: nn.Linear) -> torch.Tensor:
    """A 3 x 3 convolution of (B, H, W, C), edges repeated, by weights (F, 9 C)."""
    # Not by `F.pad`: compiled, its gradient has another layout than PyTorch 2.13 expects.
    wide = torch.cat([x[:, :1], x, x[:, -1:]], 1)
    wide = torch.cat([wide[:, :, :1], wide, wide[:, :, -1:]], 2)
    # The weights have their inputs row by row, column by column, channels last.
    weight = linear.weight.unflatten(1, (3, 3, -1)).permute(0, 3, 1, 2)
    return F.conv2d(wide.movedim(-1, 1), weight).movedim(1, -1)


class ConvBlock(nn.Module):
    """A residual block of one 3 x 3 convolution over cells and a product."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.mix = _linear(9 * channels, channels), _linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) to (B, H, W, C)."""
        return x + self.mix(F.silu(convolve(rms_norm(x), self.conv)))


class Stem(nn.Module):
    """From a reference's pixels to tokens, and from its tokens back to pixels."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.cell, channels = size.cell, size.stem
        self.pixel_in = _linear(9 * size.colors, size.near)
        self.cell_in = _linear(self.cell**2 * (size.colors + size.near), channels)
        self.down1, self.down2, self.up = (ConvBlock(channels) for _ in range(3))
        self.token_in = _linear(ACROSS**2 * channels, size.width)
        self.cells_back = _linear(size.width, ACROSS**2 * channels)
        self.cell_out = _linear(channels, self.cell**2 * size.deep)

    def forward(self, references: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, H, W, 3) to pixels, cells and tokens (B, T, D)."""
        pixels = torch.cat([references, F.silu(convolve(references, self.pixel_in))], dim=-1)
        cells = self.down2(self.down1(self.cell_in(patchify(pixels, self.cell))))
        return pixels, cells, self.token_in(patchify(cells, ACROSS)).flatten(1, 2)

    def decode(
        self, tokens: torch.Tensor, cells: torch.Tensor, pixels: torch.Tensor
    ) -> torch.Tensor:
        """Features of the pixels of each patch, (B, T, P * F)."""
        rows, columns = (side // ACROSS for side in cells.shape[1:3])
        x = self.cells_back(rms_norm(tokens)).unflatten(1, (rows, columns))
        x = self.up(unpatchify(x, ACROSS) + cells)
        deep = unpatchify(self.cell_out(rms_norm(x)), self.cell)
        x = torch.cat([pixels, deep.to(pixels.dtype)], dim=-1)
        return patchify(x, self.cell * ACROSS).flatten(1, 2)


class Ends(nn.Module):
    """Everything before and after the blocks."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        pixels, width = size.patch**2 * 3, size.width
        self.target_in = _linear(pixels, width)
        self.aligned = _linear(width, width)
        self.place = _linear(patches.PLACE_FEATURES, width)
        self.time1, self.time2 = _linear(TIME_FEATURES, width), _linear(width, width)
        self.pooled = _linear(size.text_width, width)
        self.text_norm = _parameter(size.text_width)
        self.modulation = _linear(width, 8 * width)
        self.out = _linear(width, pixels)
        self.out_filter, self.other_filter = (
            _linear(width, size.features * size.colors) for _ in range(2)
        )


class TextEmbedding(nn.Module):
    """Token ids (B, L) to embeddings (B, L, Dt)."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.table = _parameter(vocabulary, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return F.embedding(tokens, self.table)


class TextMatch(nn.Module):
    """How much pixels attend to the words of a prompt, and the colours that they get from them."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.features = size.features
        self.pixel_hidden, self.pixel = _linear(size.features, HIDDEN), _linear(HIDDEN, SHARED)
        self.pixel_norm = _parameter(SHARED)
        self.word, self.color = _linear(size.text_width, SHARED), _linear(size.text_width, 3)

    def queries(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of pixels (B, T, P * F) to queries (B, T, P * SHARED)."""
        x = pixels.unflatten(-1, (-1, self.features))
        x = self.pixel(F.silu(self.pixel_hidden(x)))
        return rms_norm(x, self.pixel_norm).flatten(2)

    def forward(
        self, queries: torch.Tensor, text: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries (B, T, P * SHARED) to shares (B, T, P, 1) and colours (B, T, P, 3)."""
        x = queries.unflatten(-1, (-1, SHARED)).flatten(1, 2)
        logits = (x @ rms_norm(self.word(text)).mT).float().masked_fill(~mask[:, None], -1e9)
        logits = torch.cat([logits, torch.full_like(logits[..., :1], NULL)], dim=-1)
        weights = F.softmax(logits, dim=-1)
        colors = weights[..., :-1] @ self.color(text).float()
        matched = 1 - weights[..., -1:]
        return tuple(y.unflatten(1, (queries.shape[1], -1)) for y in (matched, colors))


class TorchGenerator(nn.Module):
    """The network with room for R references of one size.

    Args:
      model: what to be a copy of.
      picture: (H, W) of targets and references.
      references: R.

    Raises:
      ValueError: for a form of the model that has no copy here.
    """

    def __init__(self, model: Generator, picture: tuple[int, int], references: int) -> None:
        super().__init__()
        size = model.dims
        large = size.bottleneck or size.stride > 1
        if model.attention != "prefix" or large or model.text_features:
            raise ValueError(
                f"the PyTorch copy has prefix attention, no bottleneck, features of single pixels "
                f"and no plugged text encoder; it cannot copy {model}"
            )
        self.size, self.picture, self.count = size, picture, references
        self.ends, self.stem, self.text_match = Ends(size), Stem(size), TextMatch(size)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
        self.text_embedding = TextEmbedding(model.vocabulary, size.text_width)
        self.text_blocks = nn.ModuleList(
            TextBlock(size.text_width, size.text_heads) for _ in range(size.text_depth)
        )
        h, w = (side // size.patch for side in picture)
        side, half = size.image_size // size.patch, TIME_FEATURES // 2
        grids = [layers.grid_positions(h, w, frame, side**2) for frame in range(references + 1)]
        tables = {
            "places": patches.place_features(grids[0], side),
            "target_angles": layers.rotary_angles(grids[0], size.head_dim),
            "text_angles": text_encoder.angles(model.text_length, size),
            "frequencies": 1000.0 * 10000.0 ** (-np.arange(half, dtype=np.float32) / half),
        }
        for frame in range(1, references + 1):
            tables[f"angles{frame}"] = layers.rotary_angles(grids[frame], size.head_dim)
        for name, table in tables.items():
            self.register_buffer(name, _tensor(table))

    def load(self, params: dict[str, Any]) -> None:
        """Takes the weights of a JAX model, as from `Generator.init`.

        Raises:
          ValueError: where the two do not have the same weights.
        """
        total = 0
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                linear, path = name.endswith(".weight"), name.removesuffix(".weight").split(".")
                array = functools.reduce(operator.getitem, [x for x in path if not x.isdigit()],
                                         params)  # fmt: skip
                array = _tensor(array)
                for x in path:
                    array = array[int(x)] if x.isdigit() else array
                if linear:  # inputs first in JAX, outputs first here
                    array = array.reshape(parameter.shape[1], parameter.shape[0]).T
                parameter.copy_(array)
                total += parameter.numel()
        theirs = sum(x.size for x in _leaves(params))
        if total != theirs:
            raise ValueError(f"the PyTorch copy has {total} weights, the model has {theirs}")

    def forward(
        self,
        z: torch.Tensor,
        t: torch.Tensor,
        tokens: torch.Tensor,
        references: torch.Tensor,
        reference_mask: torch.Tensor,
        kept: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predicts clean targets of the shape of `z`; arguments as those of `Generator.apply`."""
        g, q = tokens.shape[:2]
        z, t, tokens, seen = (x.flatten(0, 1) for x in (z, t, tokens, reference_mask))
        text, text_mask, pooled = self._text(tokens)
        kept = None if kept is None else kept.flatten(0, 1)
        streams, aligned, pixels = self._references(references, q)
        x, modulation, head = self._target_in(z, t, pooled, kept)
        matched = None
        if aligned is not None and pixels is not None:
            first = seen[:, :1, None]
            aligned, pixels, queries = (
                _pick(y.repeat_interleave(q, 0) * first, kept)
                for y in (aligned, pixels, self.text_match.queries(pixels))
            )
            x = x + aligned
            matched, colors = self.text_match(queries, text, text_mask)
            matched = (matched, colors * first[..., None])
        angles = self.target_angles
        if kept is not None:
            angles = angles[kept][:, None]
        tokens_of_one = self.places.shape[0]
        mask = torch.cat(
            [text_mask, seen.repeat_interleave(tokens_of_one, 1), seen.new_ones(x.shape[:2])], 1
        )
        for block, stream in zip(self.blocks, streams, strict=True):
            context = (block.text_keys_values(text), *stream)
            x, _ = block(x, modulation + block.modulation, angles, context, mask)
        return self._target_out(x, head, pixels, matched, kept).unflatten(0, (g, q))

    def _text(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mask = tokens != 0
        x = self.text_embedding(tokens)
        for block in self.text_blocks:
            x = block(x, self.text_angles, mask)
        x = rms_norm(x, self.ends.text_norm)
        share = mask / mask.sum(-1, keepdim=True).clamp(min=1)
        pooled = torch.sum(x * share[..., None].to(x.dtype), dim=1)
        return x, mask, self.ends.pooled(pooled)

    def _references(
        self, references: torch.Tensor, queries: int
    ) -> tuple[list[tuple[KeysValues, ...]], torch.Tensor | None, torch.Tensor | None]:
        """Each block's keys and values of the references, the first's deep features and pixels."""
        if not self.count:
            return [() for _ in self.blocks], None, None
        pixels, cells, x = self.stem(references.flatten(0, 1))
        x = x + self.ends.place(self.places)
        frames = [getattr(self, f"angles{i + 1}") for i in range(self.count)]
        # (G * R, 1, T, K // 2): each reference sits in a frame of its own.
        angles = torch.stack(frames).repeat(references.shape[0], 1, 1)[:, None]
        streams: list[tuple[KeysValues, ...]] = []
        for block in self.blocks:
            x, own = block(x, block.still_modulation[None], angles)
            keys, values = (self._share(part, queries) for part in own)
            streams.append(((keys, values),))
        first, cells, pixels = (y.unflatten(0, (-1, self.count))[:, 0] for y in (x, cells, pixels))
        aligned = self.ends.aligned(rms_norm(first))
        return streams, aligned, self.stem.decode(first, cells, pixels)

    def _share(self, x: torch.Tensor, queries: int) -> torch.Tensor:
        """(G * R, N, T, K) to (G * Q, N, R * T, K)."""
        x = x.unflatten(0, (-1, self.count)).transpose(1, 2).flatten(2, 3)
        return x[:, None].expand(-1, queries, *x.shape[1:]).flatten(0, 1)

    def _target_in(
        self, z: torch.Tensor, t: torch.Tensor, pooled: torch.Tensor, kept: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        variance = patches.DATA_VARIANCE
        scale = t * variance / (t**2 * variance + (1 - t) ** 2)
        z = z * scale[:, None, None, None]
        x = patchify(z, self.size.patch).flatten(1, 2) if kept is None else z.flatten(2)
        x = self.ends.target_in(x)
        phase = t[:, None] * self.frequencies
        wave = torch.cat([phase.cos(), phase.sin()], dim=-1)
        c = self.ends.time2(F.silu(self.ends.time1(wave))) + pooled
        modulation = self.ends.modulation(F.silu(c)).unflatten(-1, (8, -1))
        places = self.ends.place(self.places)
        places = places if kept is None else places[kept]
        return x + places, modulation[:, :6], modulation[:, 6:]

    def _target_out(
        self,
        x: torch.Tensor,
        head: torch.Tensor,
        pixels: torch.Tensor | None,
        matched: tuple[torch.Tensor, torch.Tensor] | None,
        kept: torch.Tensor | None,
    ) -> torch.Tensor:
        shift, scale = head[:, :1], head[:, 1:]
        x = rms_norm(x) * (1 + scale) + shift
        p, (height, width) = self.size.patch, self.picture
        answer = self.ends.out(x).float()
        if pixels is not None and matched is not None:
            pixels = pixels.float().unflatten(-1, (p * p, -1))
            maps = (self.ends.out_filter(x), self.ends.other_filter(x))
            near, other = (pixels @ y.float().unflatten(-1, (-1, 3)) for y in maps)
            share, colors = matched
            answer = answer + (share * near + (1 - share) * other + colors).flatten(2)
        if kept is not None:
            return answer.unflatten(-1, (p * p, 3))
        return unpatchify(answer.unflatten(1, (height // p, width // p)), p)


def _pick(x: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
    """(B, T, C) to the kept patches (B, T', C)."""
    if kept is None:
        return x
    return x.gather(1, kept[..., None].expand(-1, -1, x.shape[-1]))


def _leaves(tree: Any) -> list[Any]:
    return [y for x in tree.values() for y in _leaves(x)] if isinstance(tree, dict) else [tree]
