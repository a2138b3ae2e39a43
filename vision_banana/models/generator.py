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
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from vision_banana.models import attention as attention_lib
from vision_banana.models import ends as ends_lib
from vision_banana.models import layers, patches, text_encoder, text_match
from vision_banana.models.context import Context
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
            "ends": functools.partial(ends_lib.Ends, self.dims, not prefix),
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
        return nnx.merge(self._graph(name), params)

    @functools.cache  # noqa: B019 (generators are few and small)
    def _graph(self, name: str) -> nnx.GraphDef:
        """A module without its weights, laid out once: tracing asks for it many times."""
        build = self._modules()[name]
        return nnx.split(nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))))[0]

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
        ends, precision = self._module("ends", params["ends"]), self.precision
        size = size or (z.shape[2], z.shape[3])
        grid = (size[0] // self.dims.patch, size[1] // self.dims.patch)
        with jax.named_scope("ends"):
            x = ends.target(z, t, kept, grid, precision)
            modulation = ends.modulations(t, context.pooled, precision)
        angles = ends_lib.rotary_angles(self.dims, *grid, 0)
        angles = angles if kept is None else angles[kept][:, :, None]
        mask = context.reference_mask
        seen, words = None, context.words
        # A reference of another size has nothing at the target's places.
        aligned, pixels = context.aligned, context.pixels
        if aligned is not None and pixels is not None and aligned.shape[1:3] == grid:
            x = x + layers.in_place(jax.lax.collapse(aligned, 1, 3), mask, kept)
            seen = text_match.Pixels(*(layers.in_place(part, mask, kept) for part in pixels))
            # Pixels of a hidden reference, whose features are 0, get no colours from words.
            words = words._replace(values=words.values * mask[:, :, :1, None])
        through = self._prefix if self.attention == "prefix" else self._full
        x = through(params, x, modulation[:, :, :6], angles, context, unroll)
        with jax.named_scope("ends"):
            remat = self.remat != "none"
            answer = ends.answer(x, modulation[:, :, 6:], seen, words, precision, remat)
            if kept is not None:
                return answer.reshape(z.shape)
            return patches.unpatchify(answer, *size, self.dims.patch)

    def _prefix(
        self,
        params: Params,
        x: jax.Array,
        modulation: jax.Array,
        angles: jax.Array,
        context: Context,
        unroll: int,
    ) -> jax.Array:
        """The target's tokens through the blocks, beside the context's keys and values."""
        mask = layers.with_own(context.text_mask, context.reference_mask, x.shape[2])

        def body(x: jax.Array, layer: Any) -> tuple[jax.Array, None]:
            block_params, reference_kv, text_kv = layer
            block = self._module("blocks", block_params)
            streams = [text_kv] if reference_kv is None else [text_kv, reference_kv]
            moved = modulation + block.modulation[...]
            x, _ = block(x, moved, angles, self.precision, streams, mask)
            return x, None

        x, _ = self._scan(body, x, (params["blocks"], context.references, context.text), unroll)
        return x

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
        return x, mask, ends.pool(x, mask, self.precision)

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
        x = x + ends.places(h, w, self.precision)
        # (R, 1, T, K // 2): each reference sits in a frame of its own.
        angles = [ends_lib.rotary_angles(self.dims, h, w, i + 1) for i in range(cells.shape[1])]
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

    def _full(
        self,
        params: Params,
        x: jax.Array,
        modulation: jax.Array,
        angles: jax.Array,
        context: Context,
        unroll: int,
    ) -> jax.Array:
        """One stream of reference, text and target tokens, (G, Q, S, D), all attending to all."""
        g, q, tokens = x.shape[:3]
        text_length = context.text.shape[2]
        parts, masks = [context.text], [context.text_mask]
        pad = jnp.zeros((text_length, self.dims.head_dim // 2))
        others = [pad.at[:, -1].set(jnp.arange(text_length) * 0.1)]
        if context.references is not None and context.aligned is not None:
            r = context.references.reshape(g, 1, -1, self.dims.width)
            parts.append(jnp.broadcast_to(r, (g, q, *r.shape[2:])))
            masks.append(context.reference_mask)
            h, w = context.aligned.shape[1:3]  # all references of a call share one shape
            frames = range(1, context.references.shape[1] + 1)
            others += [ends_lib.rotary_angles(self.dims, h, w, frame) for frame in frames]
        still = sum(p.shape[2] for p in parts)
        mask = jnp.concatenate([*masks, jnp.ones((g, q, tokens), bool)], axis=-1)
        stream = jnp.concatenate([*parts, x], axis=2)
        before = jnp.concatenate(others)
        before = jnp.broadcast_to(before, (*angles.shape[:-2], *before.shape))
        angles = jnp.concatenate([before, angles], axis=-2)
        moving = (jnp.arange(still + tokens) >= still)[:, None, None]

        def body(x: jax.Array, block_params: Params) -> tuple[jax.Array, None]:
            block = self._module("blocks", block_params)
            moved = (modulation + block.modulation[...])[:, :, None]
            moved = jnp.where(moving, moved, block.still_modulation[...])
            return block(x, moved, angles, self.precision, mask=mask)[0], None

        stream, _ = self._scan(body, stream, params["blocks"], unroll)
        return stream[:, :, still:]


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
