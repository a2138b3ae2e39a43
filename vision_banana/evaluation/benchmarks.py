"""The benchmarks, as a table: what is asked of which pictures, how many there are, what is scored.

A new benchmark is a reader in `data/` (see `data/on_disk.py`) and a row here.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from vision_banana.data import kitti_depth, saco_gold, source, sources
from vision_banana.evaluation import crops, fixed_prompts, released_metrics
from vision_banana.metrics import depth as depth_metric
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import TASKS, depth
from vision_banana.tasks.task import Answer, Example, Task

# Rules that the source or the metric follows without being told.
STATED = ("crop", "cut", "every", "masks", "over", "ignored", "annotators")
NOTHING: Mapping[str, Any] = MappingProxyType({})
NO_PIXEL = "no pixel counts"  # why a record is in no score though it could be read


class Benchmark(NamedTuple):
    """One row.

    Attributes:
      name: as on the command line and in result lines.
      source: `name` and arguments of the source of the scored pictures, see `sources.build`. An
        argument `size` of 0 becomes the size that the generator was trained at, a `root` of ""
        the folder that holds the released data.
      training: the same, of the pictures whose labels the blind answer learns from; it shares
        none with `source`. None where none are released: then there is no blind answer.
      tasks: names of the tasks that are scored.
      records: how many are scored by default, the first ones; all of a released set.
      rules: how they are scored, as it stands in the result lines: `crop`, a name of
        `crops.CROPS`, `cut`, the rows and columns that the source cuts pictures to, `every`, of how
        many frames it takes one, `masks`, those of the set's own that the source applies where it
        has a choice, `over`, what a mean is taken over ("pixels" of all pictures, or "pictures"),
        `ignored`, the truth that counts nowhere, `annotators`, how several truths are joined, and
        the keyword arguments of the metric.
      metric: makes the metric; None means the task's own.
      perfect: the metric's names that carry a skill, with their perfect values; None means the
        task's own.
      question: what is asked about an example; None means the task's own wording, drawn at random.
      typical_m: metres between which the median of the true depth lies, roughly; a scale factor
        that is wrong by three or more is noticed by it.
      judged: whether people or a judge score it; then `evaluate` does not.
    """

    name: str
    source: Mapping[str, Any]
    training: Mapping[str, Any] | None
    tasks: tuple[str, ...]
    records: int
    rules: Mapping[str, Any] = NOTHING
    metric: Callable[..., Metric] | None = None
    perfect: Mapping[str, float] | None = None
    question: Callable[[Example], str] | None = None
    typical_m: tuple[float, float] | None = None
    judged: bool = False


def _released(
    name: str, reader: str, tasks: tuple[str, ...], records: int, **fields: Any
) -> Benchmark:
    """A row whose data its user has on disk; `reader` is "module:function" of `data/`."""
    arguments = fields.pop("arguments", {})
    spec = {"name": f"vision_banana.data.{reader}", "root": "", **arguments}
    return Benchmark(name, spec, None, tasks, records, **fields)


def _depth_rules(max_m: float, crop: str | None = None) -> dict[str, Any]:
    return {
        "crop": crop, "min_m": 0.0, "max_m": max_m, "clamp": True, "align": None,
        "over": "pictures",
    }  # fmt: skip


def _depth(
    name: str,
    reader: str,
    records: int,
    max_m: float,
    typical_m: tuple[float, float],
    crop: str | None = None,
    cut: tuple[int, int] | None = None,
    arguments: Mapping[str, Any] = NOTHING,
) -> Benchmark:
    """Metric depth with UniK3D's masks: 0 < truth < max_m, inside the crop, no alignment.

    Which part of a picture the reader cuts out (`cut`) and its `arguments` are rules too.

    UniK3D does not clamp the prediction; here it is, to [0.001, max_m] as ZoeDepth does, since a
    pixel that was drawn infinitely far would make AbsRel infinite.
    """
    rules = {**_depth_rules(max_m, crop), **({"cut": list(cut)} if cut else {}), **arguments}
    return _released(
        name, reader, ("depth",), records, arguments=arguments, rules=rules,
        question=fixed_prompts.depth, typical_m=typical_m,
    )  # fmt: skip


def _normals(name: str, reader: str, records: int, **arguments: Any) -> Benchmark:
    """Surface normals by DSINE's rules: errors of all valid pixels of the set pooled."""
    return _released(
        name, reader, ("surface_normals",), records, rules={"over": "pixels"},
        question=fixed_prompts.surface_normals, arguments=arguments,
    )  # fmt: skip


def _saco(subset: str, records: int) -> Benchmark:
    """One subset of SA-Co/Gold; the set's numbers are the plain means over the seven.

    `records` counts the pairs that the files list. Those that are not flagged as
    instance-exhaustive are not scored (`saco_gold`), so the source may hold fewer.
    """
    return _released(
        f"saco_gold_{subset}", "saco_gold:saco_gold", ("instance_segmentation",), records,
        arguments={"subset": subset}, metric=released_metrics.concepts,
        perfect={"cgF1": 1.0, "pmF1": 1.0, "IL_MCC": 1.0},
        rules={"ignored": "pairs that are not instance-exhaustive", "annotators": "best of three"},
        question=fixed_prompts.instance_segmentation,
    )  # fmt: skip


def _held_out(
    name: str, dataset: str, task: str, records: int, learnt_from: str = "", **fields: Any
) -> Benchmark:
    """Held-out records (`data/sample_splits`) of a small real set in $VISION_BANANA_SAMPLES.

    The blind answer learns from the set's own training records, or those of `learnt_from`.
    """
    source = {"name": "samples", "dataset": dataset, "split": "heldout"}
    training = {"name": "samples", "dataset": learnt_from or dataset, "split": "train"}
    return Benchmark(name, source, training, (task,), records, **fields)


def _held_out_depth(
    name: str, dataset: str, records: int, max_m: float = 10.0, learnt_from: str = ""
) -> Benchmark:
    """Metric depth indoors, by the rules of `_depth`."""
    return _held_out(
        name, dataset, "depth", records, learnt_from, rules=_depth_rules(max_m),
        question=fixed_prompts.depth,
    )  # fmt: skip


_SCENE_TASKS = (
    "depth", "surface_normals", "semantic_segmentation", "instance_segmentation",
    "referring_segmentation", "image_generation", "image_editing",
)  # fmt: skip
_REFERRING = ("referring_segmentation",)

# Some of these hold so few pictures that their numbers only say that everything fits together.
_REAL = (
    _held_out_depth("tum_depth", "tum_rgbd", 4),
    _held_out_depth("icl_depth", "icl_nuim", 3, learnt_from="tum_rgbd"),
    _held_out_depth("cleargrasp_depth", "cleargrasp", 1),
    _held_out_depth("cleargrasp_real_depth", "cleargrasp_real", 1),
    _held_out(
        "cleargrasp_normals", "cleargrasp", "surface_normals", 1,
        question=fixed_prompts.surface_normals,
    ),
    _held_out(
        "cleargrasp_real_normals", "cleargrasp_real", "surface_normals", 1,
        question=fixed_prompts.surface_normals,
    ),
    _held_out("comma10k", "comma10k", "semantic_segmentation", 3),
    _held_out("coco_classes", "coco", "semantic_segmentation", 19),
    _held_out(
        "coco_instances", "coco", "instance_segmentation", 19,
        question=fixed_prompts.instance_segmentation,
    ),
    _held_out(
        "pets", "pets", "referring_segmentation", 105,
        question=fixed_prompts.referring_segmentation,
    ),
)  # fmt: skip

BENCHMARKS = {
    row.name: row
    for row in (
        Benchmark(
            name="scenes",
            source={"name": "scenes", "split": "heldout", "size": 0},
            training={"name": "scenes", "split": "train", "size": 0},
            tasks=_SCENE_TASKS,
            records=256,
        ),
        Benchmark(
            name="scenes_two_references",
            source={"name": "scenes", "split": "heldout", "size": 0, "references": 2},
            training={"name": "scenes", "split": "train", "size": 0, "references": 2},
            tasks=("image_editing",),
            records=256,
        ),
        # Half of the questions name what is not in the picture.
        Benchmark(
            name="scenes_presence",
            source={"name": "scenes", "split": "heldout", "size": 0, "absent": 0.5},
            training={"name": "scenes", "split": "train", "size": 0, "absent": 0.5},
            tasks=("instance_segmentation", "referring_segmentation"),
            records=256,
            metric=released_metrics.presence,
            perfect={"accuracy": 1.0, "MCC": 1.0},
        ),
        _released(
            "cityscapes", "cityscapes:cityscapes", ("semantic_segmentation",), 500,
            metric=released_metrics.pooled_classes, question=fixed_prompts.semantic_segmentation,
            rules={"over": "pixels", "ignored": "classes outside the 19"},
        ),
        *(_saco(subset, records) for subset, records in saco_gold.SUBSETS.items()),
        _released(
            "refcocog", "refcocog:refcocog", _REFERRING, 4896,
            perfect={"cIoU": 1.0}, question=fixed_prompts.referring_segmentation,
            rules={"ignored": None},
        ),
        # LISA's rules; then those of Seg-Zero and other users of its copies.
        _released(
            "reasonseg", "reasonseg:reasonseg", _REFERRING, 200,
            question=fixed_prompts.referring_segmentation, rules={"ignored": "regions"},
        ),
        _released(
            "reasonseg_seg_zero", "reasonseg:reasonseg", _REFERRING, 200,
            arguments={"ignored_as_target": True}, perfect={"gIoU": 1.0},
            question=fixed_prompts.referring_segmentation,
            rules={"ignored": None, "empty": 0.0, "smoothing": 0.0},
        ),
        _depth("nyu_depth", "nyu_depth:nyu_depth", 654, 10.0, (1.0, 6.0), "eigen_nyu"),
        _depth("ibims", "ibims:ibims", 100, 25.0, (1.5, 9.0), arguments={"masks": []}),
        _depth("eth3d", "eth3d:eth3d", 454, 50.0, (1.5, 20.0)),
        _depth("diode_depth", "diode:diode_indoor", 325, 25.0, (1.0, 8.0)),
        _depth("kitti_depth", "kitti_depth:kitti_depth", 652, 80.0, (6.0, 40.0), "garg",
               cut=(kitti_depth.HEIGHT, kitti_depth.WIDTH)),
        _depth("nuscenes_depth", "nuscenes_depth:nuscenes_depth", 3612, 80.0, (5.0, 40.0),
               arguments={"every": 10}),
        _normals("nyu_normals", "dsine_normals:dsine_normals", 654, dataset="nyuv2"),
        _normals("scannet_normals", "dsine_normals:dsine_normals", 300, dataset="scannet"),
        _normals("vkitti_normals", "dsine_normals:dsine_normals", 1000, dataset="vkitti"),
        _normals("diode_normals", "diode:diode_indoor", 325),
        _released("genai_bench", "genai_bench:genai_bench", ("image_generation",), 1600,
                  judged=True),
        _released("imgedit", "imgedit:imgedit", ("image_editing",), 737, judged=True),
        *_REAL,
    )
}  # fmt: skip


def open_source(spec: Mapping[str, Any], size: int, data: str = "") -> source.Source:
    """Opens a row's `source` or `training`.

    Args:
      spec: see `Benchmark`.
      size: the generator's, side in pixels.
      data: the folder that holds the released data.

    Raises:
      ValueError: the data is needed and no folder was given, or it is not as released.
      OSError, ImportError: a file cannot be read, or a package that reads it is not there.
    """
    filled = dict(spec)
    if filled.get("size") == 0:
        filled["size"] = size
    if filled.get("root") == "":
        if not data:
            raise ValueError("this benchmark's pictures are not embedded: name their folder (data)")
        filled["root"] = data
        try:
            return sources.build(filled)
        except (LookupError, TypeError, AttributeError, EOFError, UnicodeError) as e:
            raise ValueError(
                f"the files of {spec['name'].partition(':')[2]} in {data} are not as released "
                f"({type(e).__name__}: {e}): fetch them again"
            ) from e
    return sources.build(filled)


def scored_task(row: Benchmark, name: str) -> Task:
    """A task as a benchmark asks and scores it."""
    task = TASKS[name]
    options = {key: value for key, value in row.rules.items() if key not in STATED}
    make = row.metric or task.metric
    question = row.question
    return task._replace(
        metric=lambda: make(**options),
        error=depth_error(**options) if name == "depth" else task.error,
        prompt=task.prompt if question is None else lambda example, rng: question(example),
        perfect=task.perfect if row.perfect is None else row.perfect,
    )


def depth_error(
    min_m: float = depth.NEAREST_M,
    max_m: float = depth.FARTHEST_M,
    clamp: bool = True,
    align: str | None = None,
) -> Callable[[Answer, int, Example], np.ndarray]:
    """The depth task's error by a metric's rules, so that both call the same pixels right.

    Args:
      min_m, max_m, clamp, align: see `metrics.depth.depth_errors`.

    Returns:
      `error(answer, i, example)`, see `Task`: of the clamped prediction; NaN where the truth is
      not between `min_m` and `max_m` metres.

    Raises:
      ValueError: the rules align the prediction.
    """
    if align is not None:
        raise ValueError(f"align is {align!r}: a pixel is right in metres only; use align None")
    low = max(min_m, depth_metric.SMALLEST_M)

    def error(answer: Answer, i: int, example: Example) -> np.ndarray:
        depth_m = np.asarray(answer["depth"][i : i + 1], np.float64)
        if clamp:
            depth_m = np.clip(np.where(np.isnan(depth_m), low, depth_m), low, max_m)
        counted = example.valid & (example.label > min_m) & (example.label < max_m)
        told = dataclasses.replace(example, valid=counted)
        return TASKS["depth"].error({**answer, "depth": depth_m}, 0, told)

    return error


class Scored:
    """A source whose examples are valid only where the rules of a benchmark score them.

    Args:
      inner: the source.
      rules: see `Benchmark`.
    """

    def __init__(self, inner: source.Source, rules: Mapping[str, Any]) -> None:
        self.name, self.tasks = inner.name, inner.tasks
        self._inner, self._rules = inner, rules

    def __len__(self) -> int:
        return len(self._inner)

    def example(self, index: int, task: str) -> Example:
        """Record `index`; BadRecord where no pixel would be scored."""
        example = self._inner.example(index, task)
        valid = example.valid
        if self._rules.get("crop"):
            valid = valid & crops.CROPS[self._rules["crop"]](valid.shape)
        if task == "depth" and "max_m" in self._rules:
            low, high = self._rules["min_m"], self._rules["max_m"]
            valid = valid & (example.label > low) & (example.label < high)
        if not np.any(valid):
            raise source.BadRecord(example.key, f"{NO_PIXEL}: the rules are {self._rules}")
        return dataclasses.replace(example, valid=valid)


class After:
    """The records of a source from one on: those that are held out from its first ones.

    Args:
      inner: the source.
      first: the first record that is kept.
    """

    def __init__(self, inner: source.Source, first: int) -> None:
        self.name, self.tasks = inner.name, inner.tasks
        self._inner, self._first = inner, first

    def __len__(self) -> int:
        return len(self._inner) - self._first

    def example(self, index: int, task: str) -> Example:
        """Record `index` from the first one on."""
        return self._inner.example(self._first + index, task)
