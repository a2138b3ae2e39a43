"""Puts prompts about pictures to a generator, many at once, in batches of few fixed shapes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from vision_banana.evaluation.predict import Predict
from vision_banana.text import tokenizer
from vision_banana.training import sharding

MOST = 80  # pictures drawn at once by one shard of a mesh


class Group(NamedTuple):
    """Prompts about one set of reference pictures, which the generator looks at once for all.

    Attributes:
      prompts: Q prompts.
      references: R pictures, each (H', W', 3) float RGB in [0, 1]; none for a generation.
      shape: (H, W) of the answers, in pixels.
      keys: (Q,) random keys of the prompts' noise, which then depends on nothing else; None: it
        comes from the key of the call.
    """

    prompts: tuple[str, ...]
    references: tuple[np.ndarray, ...]
    shape: tuple[int, int]
    keys: jax.Array | None = None


Ask = Callable[[Sequence[Group], jax.Array], list[np.ndarray]]


def build(predict: Predict, params: Any, text_length: int, groups: int = 8) -> Ask:
    """Builds `ask(groups, key) -> answers`.

    The answers come in the order of the groups, each (Q, H, W, 3) float32 RGB in [0, 1]. Groups
    with and without references, or of different picture sizes, are asked in batches of their own.
    Within one call all batches of a kind have one shape, since a new shape is compiled anew: a
    group with fewer prompts or references than the largest is filled up, as is the last batch,
    and what was filled in is thrown away. A shard draws `MOST` pictures, so a batch holds fewer
    groups where they have many prompts, and a group of more prompts is asked in equal parts. The
    same groups and key give the same answers on as many shards.

    Args:
      predict: see `predict.build`.
      params: the generator's weights.
      text_length: L, the most tokens of a prompt.
      groups: of a batch, at most; more where that gives every shard of the weights' mesh as many.

    Returns:
      `ask`, which raises ValueError for a group without prompts, a prompt that is empty or has
      more than L tokens, and references of one group that differ in size.
    """
    if groups < 1:
        raise ValueError(f"a batch of {groups} groups asks nothing: use 1 or more")
    shards = shards_of(params)
    groups = -(-groups // shards) * shards

    def ask(asked: Sequence[Group], key: jax.Array) -> list[np.ndarray]:
        parts = [_parts(group) for group in asked]
        drawn = iter(in_batches([part for of_one in parts for part in of_one], key))
        return [np.concatenate([next(drawn) for _ in of_one]) for of_one in parts]

    def in_batches(asked: Sequence[Group], key: jax.Array) -> list[np.ndarray]:
        answers: list[np.ndarray | None] = [None] * len(asked)
        number = 0
        for places in _kinds(asked):
            queries = max(len(asked[i].prompts) for i in places)
            references = max(len(asked[i].references) for i in places)
            size = min(groups, len(places), shards * (MOST // queries))
            for start in range(0, len(places), size):
                part = places[start : start + size]
                filled = [asked[i] for i in part] + [asked[part[-1]]] * (size - len(part))
                batch = _batch(filled, queries, references, text_length)
                drawn = predict(params, _key(filled, queries, key, number), batch)
                rgb = multihost_utils.process_allgather(drawn, tiled=True)  # may lie elsewhere too
                number += 1
                for i, row in zip(part, rgb, strict=False):
                    answers[i] = row[: len(asked[i].prompts)]
        return [answer for answer in answers if answer is not None]

    return ask


def shards_of(params: Any) -> int:
    """Into how many parts the mesh that weights lie on divides the groups of a batch."""
    mesh = sharding.mesh_of(params)
    return 1 if mesh is None else sharding.batch_shards(mesh)


def _parts(group: Group) -> list[Group]:
    """The group, or several of at most `MOST` of its prompts each."""
    places = np.array_split(np.arange(len(group.prompts)), max(1, -(-len(group.prompts) // MOST)))
    return [
        group._replace(
            prompts=tuple(group.prompts[i] for i in part),
            keys=None if group.keys is None else group.keys[part],
        )
        for part in places
    ]


def _kinds(asked: Sequence[Group]) -> list[list[int]]:
    """Places of the groups that fit into one shape, kinds in a fixed order."""
    kinds: dict[tuple, list[int]] = {}
    for i, group in enumerate(asked):
        if not group.prompts:
            raise ValueError(f"group {i} has no prompts: ask at least one thing")
        sizes = {tuple(picture.shape) for picture in group.references}
        if len(sizes) > 1:
            raise ValueError(
                f"the references of {group.prompts[0]!r} have the shapes {sorted(sizes)}: resize "
                "them to one"
            )
        kinds.setdefault((*sizes, tuple(group.shape)), []).append(i)
    return [kinds[kind] for kind in sorted(kinds)]


def _key(groups: Sequence[Group], queries: int, key: jax.Array, number: int) -> jax.Array:
    """The key of a batch, or (G, Q) keys where its prompts have their own, the first repeated."""
    own = [group.keys for group in groups if group.keys is not None]
    if not own:
        return jax.random.fold_in(key, number)
    places = [np.arange(queries) % len(keys) for keys in own]
    return jnp.stack([keys[place] for keys, place in zip(own, places, strict=True)])


def _batch(
    groups: Sequence[Group], queries: int, references: int, text_length: int
) -> dict[str, Any]:
    """A batch for `predict`. Missing prompts repeat the first, missing references are masked."""
    G = len(groups)
    tokens = np.zeros((G, queries, text_length), np.int32)
    mask = np.zeros((G, queries, references), bool)
    picture = groups[0].references[0].shape if references else (*groups[0].shape, 3)
    pictures = np.zeros((G, references, *picture), np.float32)
    for g, group in enumerate(groups):
        for q, prompt in enumerate(group.prompts):
            tokens[g, q] = tokenizer.encode(prompt, text_length)
        tokens[g, len(group.prompts) :] = tokens[g, 0]
        for r, reference in enumerate(group.references):
            pictures[g, r] = reference
            mask[g, :, r] = True
    return {
        "tokens": tokens,
        "references": pictures,
        "reference_mask": mask,
        "shape": groups[0].shape,
    }
