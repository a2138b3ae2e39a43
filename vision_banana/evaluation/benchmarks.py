"""The benchmarks, as a table: what is asked of which pictures, and how many there are."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from vision_banana.data import source, sources


class Benchmark(NamedTuple):
    """One row.

    Attributes:
      name: as on the command line and in result lines.
      source: `name` and arguments of the source of the scored pictures, see `sources.build`. An
        argument `size` of 0 becomes the size that the generator was trained at.
      training: the same, of the pictures whose labels the blind answer learns from; it shares
        none with `source`.
      tasks: names of the tasks that are scored.
      records: how many are scored by default, the first ones.
    """

    name: str
    source: Mapping[str, Any]
    training: Mapping[str, Any]
    tasks: tuple[str, ...]
    records: int


BENCHMARKS = {
    row.name: row
    for row in (
        Benchmark(
            name="scenes",
            source={"name": "scenes", "split": "heldout", "size": 0},
            training={"name": "scenes", "split": "train", "size": 0},
            tasks=(
                "depth",
                "surface_normals",
                "semantic_segmentation",
                "instance_segmentation",
                "referring_segmentation",
                "image_generation",
                "image_editing",
            ),
            records=256,
        ),
        Benchmark(
            name="scenes_two_references",
            source={"name": "scenes", "split": "heldout", "size": 0, "references": 2},
            training={"name": "scenes", "split": "train", "size": 0, "references": 2},
            tasks=("image_editing",),
            records=256,
        ),
    )
}


def open_source(spec: Mapping[str, Any], size: int) -> source.Source:
    """Opens a row's `source` or `training` at the generator's size (side in pixels)."""
    return sources.build(dict(spec) | ({"size": size} if spec.get("size") == 0 else {}))
