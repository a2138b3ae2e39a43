"""The generator: a pixel-space transformer that predicts the clean picture (x-prediction).

Text and zero or more reference pictures condition it by tokens (the plain-transformer line of JiT,
arXiv 2511.13720). Rotary positions tell the target from each reference. A reference's pixels pass
convolutions before they become tokens, and after the last block its tokens give features back to
its pixels (`models.stem`). The first reference also meets the target in place, as channels put
together would (InstructPix2Pix, Marigold): its deep features are added to the target's patches at
the first block, and each target patch chooses two linear maps from the features of the pixels of
the same place to colours, which are added to its answer (weights drawn by the network for each
patch, as in PixNerd, arXiv 2507.23268, and for each prompt, as in CondInst, arXiv 2003.05664): one
for pixels that match a word of the prompt, whose colour is added too, one for all others
(`models.text_match`). What an edit keeps is so copied and not redrawn, an outline in the picture is
one in the answer, and what is seen once serves every prompt. At t = 0 the noise does not enter at
all (`patches.input_scale`): one step has one answer.

Two forms of attention:

* `prefix`: a reference attends to itself alone, text passes through its tower alone, and the
  target attends to everything; only the target sees the time. The keys and values of a picture
  then serve every prompt and every sampling step, and those of a prompt every picture.
* `full`: all tokens attend to all, so that everything is computed anew at every step.

Flax is used to define modules; the program stays functional: `init` returns a dict of arrays and
every method takes it.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from vision_banana.models import attention as attention_lib
from vision_banana.models import layers, patches, text_encoder, text_match
from vision_banana.models.precision import Precision, choose
from vision_banana.models.sizes import ACROSS, SIZES, Size
from vision_banana.models.stem import Stem

Params = dict[str, Any]

# What a block's backward pass computes again: nothing, all, or all but products with weights
# (attention, norms and gates).
REMAT = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


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


class Ends(nnx.Module):
    """Everything before and after the blocks: patches in, time, pooled text, patches out."""

    def __init__(self, size: Size, full: bool, rngs: nnx.Rngs) -> None:
        kernel = functools.partial(layers.kernel, rngs)
        pixels, width = size.patch**2 * 3, size.width
        inner = size.bottleneck or width
        self.target_in = kernel(pixels, (pixels, inner))
        if size.bottleneck:
            self.target_up = kernel(inner, (inner, width))
        self.aligned = kernel(width, (width, width))
        self.place = kernel(patches.PLACE_FEATURES, (patches.PLACE_FEATURES, width))
        if full:
            self.text_in = kernel(size.text_width, (size.text_width, width))
        self.time1 = kernel(256, (256, width))
        self.time2 = kernel(width, (width, width))
        self.pooled = kernel(size.text_width, (size.text_width, width))
        self.text_norm = nnx.Param(jnp.ones((size.text_width,)))
        self.modulation = nnx.Param(jnp.zeros((width, 8 * width)))
        self.out = nnx.Param(jnp.zeros((width, pixels)))
        self.out_filter = nnx.Param(jnp.zeros((width, size.features * size.colors)))
        self.other_filter = nnx.Param(jnp.zeros((width, size.features * size.colors)))


@dataclasses.dataclass(frozen=True)
class Generator:
    """The model as a value: what it is, without its weights.

    Attributes:
      size: name of a row of `sizes.SIZES`.
      attention: "prefix" or "full".
      vocabulary: number of token ids, 0 being padding.
      text_length: tokens L of a prompt, padded.
      dtype: "bfloat16" (where the processor has such products) or "float32".
      remat: what the backward pass computes again to save memory, a key of `REMAT`.
      text_features: width of a plugged text encoder's features, 0 for the tower's own tokens.
      processor: "cpu", "gpu" or "tpu"; the default backend's when empty.
      attention_kernel: what computes attention in the blocks, a key of `attention.KERNELS`.
    """

    size: str = "pocket"
    attention: str = "prefix"
    vocabulary: int = 2048
    text_length: int = 64
    dtype: str = "bfloat16"
    remat: str = "none"
    text_features: int = 0
    processor: str = ""
    attention_kernel: str = "xla"

    def __post_init__(self) -> None:
        """Checks the fields; raises ValueError naming the field and the remedy."""
        if self.size not in SIZES:
            raise ValueError(f"model.size is {self.size!r}; choose one of {', '.join(SIZES)}")
        if self.attention not in ("prefix", "full"):
            raise ValueError(f"model.attention is {self.attention!r}; write 'prefix' or 'full'")
        if self.remat not in REMAT:
            raise ValueError(f"model.remat is {self.remat!r}; choose one of {', '.join(REMAT)}")
        choose(self.dtype, "tpu")
        attention_lib.check(self.attention_kernel, self._processor, self.dtype)

    @property
    def dims(self) -> Size:
        """The size's dimensions."""
        return SIZES[self.size]

    @property
    def _processor(self) -> str:
        return self.processor or jax.default_backend()

    @property
    def precision(self) -> Precision:
        """Number formats on the model's processor."""
        return choose(self.dtype, self._processor)

    def _modules(self) -> dict[str, Callable[..., nnx.Module]]:
        prefix = self.attention == "prefix"
        return {
            "ends": functools.partial(Ends, self.dims, not prefix),
            "stem": functools.partial(Stem, self.dims),
            "blocks": functools.partial(
                layers.Block, self.dims, prefix, attention_kernel=self.attention_kernel
            ),
            "text_embedding": functools.partial(
                text_encoder.TextEmbedding, self.dims, self.vocabulary, self.text_features
            ),
            "text_blocks": functools.partial(
                text_encoder.TextBlock, self.dims.text_width, self.dims.text_heads
            ),
            "text_match": functools.partial(text_match.TextMatch, self.dims),
        }

    def _module(self, name: str, params: Params) -> Any:
        build = self._modules()[name]
        graph, _ = nnx.split(nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))))
        return nnx.merge(graph, params)

    def init(self, key: jax.Array) -> Params:
        """Draws initial weights.

        Args:
          key: a random key.

        Returns:
          A dict of float32 arrays; those of blocks carry a leading axis of blocks.
        """
        counts = {"blocks": self.dims.depth, "text_blocks": self.dims.text_depth}
        params = {}
        for i, (name, build) in enumerate(self._modules().items()):

            def draw(key: jax.Array, build: Callable = build) -> Params:
                return nnx.to_pure_dict(nnx.split(build(rngs=nnx.Rngs(params=key)))[1])

            part = jax.random.fold_in(key, i)
            if name in counts:
                params[name] = jax.vmap(draw)(jax.random.split(part, counts[name]))
            else:
                params[name] = draw(part)
        return params

    def apply(
        self,
        params: Params,
        z: jax.Array,
        t: jax.Array,
        tokens: jax.Array,
        references: jax.Array,
        reference_mask: jax.Array,
        kept: jax.Array | None = None,
        size: tuple[int, int] | None = None,
    ) -> jax.Array:
        """Predicts the clean pictures from noisy ones.

        Args:
          params: weights, as from `init`.
          z: (G, Q, H, W, 3) noisy targets in the model's range, data in [-1, 1].
          t: (G, Q) float32 times, 0 for noise, 1 for data.
          tokens: (G, Q, L) int token ids, or (G, Q, L, F) features of a plugged text encoder.
          references: (G, R, H', W', 3) pictures in [-1, 1]; R may be 0.
          reference_mask: (G, Q, R) bool, which references a query sees.
          kept: (G, Q, T') int, which of the targets' patches are computed, by place; `z` is then
            (G, Q, T', P * P, 3), their pixels as from `patches.take`.
          size: (H, W) of the targets, where `z` holds patches.

        Returns:
          float32 of the shape of `z`, the predicted clean targets.
        """
        # A CPU runs an unrolled backward pass faster; elsewhere one compiled block serves all.
        unroll = self.dims.depth if self._processor == "cpu" else 1
        context = self.encode(params, tokens, references, reference_mask, unroll)
        return self.denoise(params, z, t, context, unroll, kept, size)

    def encode(
        self,
        params: Params,
        tokens: jax.Array,
        references: jax.Array,
        reference_mask: jax.Array,
        unroll: int = 1,
    ) -> Context:
        """Computes what the target attends to; see `apply` for the arguments."""
        ends = self._module("ends", params["ends"])
        stem = self._module("stem", params["stem"])
        matcher = self._module("text_match", params["text_match"])
        text, text_mask, pooled = self._text(params, ends, tokens, unroll)
        words = matcher.words(text, text_mask, self.precision)
        seen = self._seen(stem, references)
        r, r_angles, r_mask = self._references_in(ends, stem, seen, reference_mask)
        if self.attention == "full":
            aligned, pixels = self._in_place(ends, stem, matcher, r, seen)
            text = layers.einsum("gqlx,xd->gqld", text, ends.text_in[...], self.precision)
            return Context(r, r_mask, text, text_mask, pooled, aligned, pixels, words)

        def body(r: Any, block_params: Params) -> tuple[Any, Any]:
            block = self._module("blocks", block_params)
            text_kv = block.text_keys_values(text, self.precision)
            if r is None:
                return r, (None, text_kv)
            r, kv = block(r, block.still_modulation[...], r_angles, self.precision)
            return r, (layers.join_references(kv), text_kv)

        r, (reference_kv, text_kv) = self._scan(body, r, params["blocks"], unroll)
        aligned, pixels = self._in_place(ends, stem, matcher, r, seen)
        return Context(reference_kv, r_mask, text_kv, text_mask, pooled, aligned, pixels, words)

    def denoise(
        self,
        params: Params,
        z: jax.Array,
        t: jax.Array,
        context: Context,
        unroll: int = 1,
        kept: jax.Array | None = None,
        size: tuple[int, int] | None = None,
    ) -> jax.Array:
        """Predicts the clean pictures, given what `encode` computed; see `apply`."""
        ends = self._module("ends", params["ends"])
        size = size or (z.shape[2], z.shape[3])
        x, condition = self._target_in(ends, z, t, context.pooled, kept, size)
        mask = context.reference_mask
        grid = (size[0] // self.dims.patch, size[1] // self.dims.patch)
        seen, words = None, context.words
        # A reference of another size has nothing at the target's places.
        aligned, pixels = context.aligned, context.pixels
        if aligned is not None and pixels is not None and aligned.shape[1:3] == grid:
            x = x + layers.in_place(jax.lax.collapse(aligned, 1, 3), mask, kept)
            seen = text_match.Pixels(*(layers.in_place(part, mask, kept) for part in pixels))
            # Pixels of a hidden reference, whose features are 0, get no colours from words.
            words = words._replace(values=words.values * mask[:, :, :1, None])
        if self.attention == "full":
            x = self._full(params, x, condition, context, size, unroll)
            return self._target_out(ends, x, condition[2], seen, words, z.shape, kept)
        mask = layers.with_own(context.text_mask, context.reference_mask, x.shape[2])

        def body(x: jax.Array, layer: Any) -> tuple[jax.Array, None]:
            block_params, reference_kv, text_kv = layer
            block = self._module("blocks", block_params)
            streams = [text_kv]
            if reference_kv is not None:
                streams.append(layers.share(reference_kv, z.shape[1]))
            modulation = condition[0] + block.modulation[...]
            x, _ = block(x, modulation, condition[1], self.precision, streams, mask)
            return x, None

        x, _ = self._scan(body, x, (params["blocks"], context.references, context.text), unroll)
        return self._target_out(ends, x, condition[2], seen, words, z.shape, kept)

    # The parts of a pass. `condition` is (modulation, rotary angles, modulation of the head).

    def _scan(self, body: Callable, carry: Any, layers_: Any, unroll: int = 1) -> tuple[Any, Any]:
        if self.remat != "none":
            body = jax.checkpoint(body, policy=REMAT[self.remat])
        return jax.lax.scan(body, carry, layers_, unroll=unroll)

    @jax.named_scope("text_tower")
    def _text(self, params: Params, ends: Any, tokens: jax.Array, unroll: int) -> tuple:
        embed = self._module("text_embedding", params["text_embedding"])
        x, mask = embed(tokens, self.precision)
        angles = text_encoder.angles(x.shape[2], self.dims)

        def body(x: jax.Array, block_params: Params) -> tuple[jax.Array, None]:
            block = self._module("text_blocks", block_params)
            return block(x, angles, mask, self.precision), None

        x, _ = self._scan(body, x, params["text_blocks"], min(unroll, self.dims.text_depth))
        x = layers.rms_norm(x, ends.text_norm[...])
        weight = mask[..., None] / jnp.maximum(mask.sum(-1), 1)[..., None, None]
        pooled = jnp.sum(x * weight.astype(x.dtype), axis=2)
        pooled = layers.einsum("gqx,xd->gqd", pooled, ends.pooled[...], self.precision)
        return x, mask, pooled

    @jax.named_scope("ends")
    def _target_in(
        self,
        ends: Any,
        z: jax.Array,
        t: jax.Array,
        pooled: jax.Array,
        kept: jax.Array | None,
        shape: tuple[int, int],
    ) -> tuple:
        size, prec = self.dims, self.precision
        h, w = (side // size.patch for side in shape)
        places, angles = self._places(ends, h, w), self._angles(h, w, 0)
        x = z * patches.input_scale(t)[..., None, None, None]
        if kept is None:
            x, *_ = patches.patchify(x, size.patch)
        else:
            x = x.reshape(*x.shape[:3], -1)
            places, angles = places[kept], angles[kept][:, :, None]
        x = layers.einsum("gqtp,pd->gqtd", x, ends.target_in[...], prec)
        if size.bottleneck:
            x = layers.einsum("gqtp,pd->gqtd", x, ends.target_up[...], prec)
        x = x + places
        wave = patches.time_features(t, 256)
        c = layers.einsum("gqf,fd->gqd", wave, ends.time1[...], prec)
        c = layers.einsum("gqf,fd->gqd", jax.nn.silu(c), ends.time2[...], prec) + pooled
        mod = layers.einsum("gqf,fd->gqd", jax.nn.silu(c), ends.modulation[...], prec)
        mod = mod.reshape(*mod.shape[:2], 8, size.width)
        return layers.constrain(x), (mod[:, :, :6], angles, mod[:, :, 6:])

    @jax.named_scope("stem")
    def _seen(self, stem: Any, references: jax.Array) -> tuple[jax.Array, jax.Array] | None:
        """The stem's pixels and cells of the references, None without any."""
        if references.shape[1] == 0:
            return None
        pixels = stem.pixels(references, self.precision)
        return pixels, stem.cells(pixels, self.precision)

    @jax.named_scope("stem")
    def _references_in(
        self,
        ends: Any,
        stem: Any,
        seen: tuple[jax.Array, jax.Array] | None,
        mask: jax.Array,
    ) -> tuple:
        if seen is None:
            return None, None, jnp.zeros((*mask.shape[:2], 0), bool)
        _, cells = seen
        h, w = (side // ACROSS for side in cells.shape[2:4])
        x = stem.tokens(cells, self.precision)
        x = x + self._places(ends, h, w)
        # (R, 1, T, K // 2): each reference sits in a frame of its own.
        angles = [self._angles(h, w, i + 1) for i in range(cells.shape[1])]
        return layers.constrain(x), jnp.stack(angles)[:, None], jnp.repeat(mask, h * w, axis=-1)

    @jax.named_scope("stem")
    def _in_place(
        self,
        ends: Any,
        stem: Any,
        matcher: Any,
        r: Any,
        seen: tuple[jax.Array, jax.Array] | None,
    ) -> tuple[jax.Array | None, text_match.Pixels | None]:
        """What the first reference gives to the target's places: `Context.aligned`, `.pixels`."""
        if seen is None:
            return None, None
        deep = layers.rms_norm(r[:, 0])
        aligned = layers.einsum("gtx,xd->gtd", deep, ends.aligned[...], self.precision)
        pixels, cells = seen
        features = stem.decode(r, cells, pixels, self.precision)
        grid = (side // ACROSS for side in cells.shape[2:4])
        aligned = layers.constrain(aligned).reshape(len(aligned), *grid, -1)
        return aligned, matcher.pixels(features, self.precision)

    @jax.named_scope("ends")
    def _target_out(
        self,
        ends: Any,
        x: jax.Array,
        mod: jax.Array,
        seen: text_match.Pixels | None,
        words: text_match.Words,
        shape: tuple,
        kept: jax.Array | None,
    ) -> jax.Array:
        shift, scale = mod[:, :, :1], mod[:, :, 1:]
        x = layers.rms_norm(x) * (1 + scale) + shift
        f32 = jnp.dtype(jnp.float32)
        answer = layers.einsum("gqtd,dp->gqtp", x, ends.out[...], self.precision, out=f32)
        if seen is not None:
            # One product for both maps: the features are read once.
            filters = jnp.concatenate([ends.out_filter[...], ends.other_filter[...]], axis=-1)
            add = functools.partial(self._from_pixels, filters, words)
            answer = answer + self._in_parts(add, x, seen).reshape(answer.shape)
        if kept is not None:
            return answer.reshape(shape)
        return patches.unpatchify(answer, shape[-3], shape[-2], self.dims.patch)

    def _in_parts(self, add: Callable, x: jax.Array, seen: text_match.Pixels) -> jax.Array:
        """`add` of parts of the patches, one by one: logits of all pixels and words are large."""
        if self.remat != "none":
            add = jax.checkpoint(add)
        tokens = x.shape[2]
        parts = -(-tokens * self.dims.squares // text_match.PIXELS_AT_ONCE)
        while tokens % parts:
            parts += 1
        if parts == 1:
            return add(x, seen)
        split = jax.tree.map(
            lambda y: jnp.moveaxis(y.reshape(*y.shape[:2], parts, -1, y.shape[-1]), 2, 0), (x, seen)
        )
        return jnp.moveaxis(jax.lax.map(lambda part: add(*part), split), 0, 2)

    def _from_pixels(
        self, filters: jax.Array, words: text_match.Words, x: jax.Array, seen: text_match.Pixels
    ) -> jax.Array:
        """What the first reference's pixels and the words add to the answer, (G, Q, T, P, 3)."""
        f32, size = jnp.dtype(jnp.float32), self.dims
        g, q, t = x.shape[:3]
        queries = seen.queries.reshape(g, q, -1, text_match.SHARED)
        matched, colors = text_match.match(queries, words, self.precision)
        matched, colors = matched.reshape(g, q, t, -1, 1), colors.reshape(g, q, t, -1, 3)
        colors = jnp.tile(colors, size.stride**2)
        maps = layers.einsum("gqtd,df->gqtf", x, filters, self.precision, out=f32)
        maps = maps.reshape(g, q, t, 2, size.features, size.colors)
        features = seen.features.reshape(g, q, t, -1, size.features)
        mapped = layers.einsum("gqtpf,gqtmfc->gqtmpc", features, maps, self.precision, out=f32)
        added = matched * mapped[:, :, :, 0] + (1 - matched) * mapped[:, :, :, 1] + colors
        return patches.unpatchify(added, size.patch, size.patch, size.stride)

    def _full(
        self,
        params: Params,
        x: jax.Array,
        condition: tuple,
        context: Context,
        size: tuple,
        unroll: int,
    ) -> jax.Array:
        """One stream of reference, text and target tokens, (G, Q, S, D), all attending to all."""
        g, q, tokens = x.shape[:3]
        text_length = context.text.shape[2]
        parts, masks = [context.text], [context.text_mask]
        pad = jnp.zeros((text_length, self.dims.head_dim // 2))
        angles = [pad.at[:, -1].set(jnp.arange(text_length) * 0.1)]
        if context.references is not None:
            r = context.references.reshape(g, 1, -1, self.dims.width)
            parts.append(jnp.broadcast_to(r, (g, q, *r.shape[2:])))
            masks.append(context.reference_mask)
            count, per = context.references.shape[1], context.references.shape[2]
            # All references of a call share one shape; its aspect is that of the target.
            h = round((per * size[0] / size[1]) ** 0.5)
            angles += [self._angles(h, per // h, i + 1) for i in range(count)]
        still = sum(p.shape[2] for p in parts)
        mask = jnp.concatenate([*masks, jnp.ones((g, q, tokens), bool)], axis=-1)
        stream = jnp.concatenate([*parts, x], axis=2)
        own, others = condition[1], jnp.concatenate(angles)
        others = jnp.broadcast_to(others, (*own.shape[:-2], *others.shape))
        all_angles = jnp.concatenate([others, own], axis=-2)
        moving = (jnp.arange(still + tokens) >= still)[:, None, None]

        def body(x: jax.Array, block_params: Params) -> tuple[jax.Array, None]:
            block = self._module("blocks", block_params)
            mod = jnp.where(
                moving,
                (condition[0] + block.modulation[...])[:, :, None],
                block.still_modulation[...],
            )
            return block(x, mod, all_angles, self.precision, mask=mask)[0], None

        stream, _ = self._scan(body, stream, params["blocks"], unroll)
        return stream[:, :, still:]

    def _angles(self, h: int, w: int, frame: int) -> jax.Array:
        side = self.dims.image_size // self.dims.patch
        positions = layers.grid_positions(h, w, frame, side**2)
        return layers.rotary_angles(positions, self.dims.head_dim)

    def _places(self, ends: Any, h: int, w: int) -> jax.Array:
        side = self.dims.image_size // self.dims.patch
        places = patches.place_features(layers.grid_positions(h, w, 0, side**2), side)
        return layers.einsum("tf,fd->td", places, ends.place[...], self.precision)


def to_model(rgb: jax.Array) -> jax.Array:
    """RGB codes in [0, 1] to the model's range [-1, 1]."""
    return rgb * 2 - 1


def to_rgb(x: jax.Array) -> jax.Array:
    """The model's range to RGB codes, clipped to [0, 1]."""
    return jnp.clip((x + 1) / 2, 0, 1)


def from_config(model: Mapping[str, Any], processor: str) -> Generator:
    """The generator of saved weights, on another machine perhaps.

    Args:
      model: the section `model` of the config that the weights were trained with. `remat` and
        `attention_kernel` suit a machine, not weights: nothing is computed again, and a kernel
        that is not told, or that this processor lacks, is XLA's.
      processor: "cpu", "gpu" or "tpu".

    Raises:
      TypeError: for a field that this version does not know.
      ValueError: for a value that does not make sense.
    """
    kernel = attention_lib.runnable(model.get("attention_kernel", "xla"), processor)
    return Generator(**{**model, "remat": "none", "attention_kernel": kernel}, processor=processor)
