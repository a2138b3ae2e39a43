"""What the configs of the large sizes share: real pictures, and schedules for a TPU pod.

Pre-training reads captions from the web, prepared as ArrayRecord, and COCO's; tuning goes on with
the first and adds public sets with truths. Each set but the web's lies in the tree that its reader
in `vision_banana/data` shows, under `data/` or where `--config.data.mixture.NAME.source.root` says.
Of their pictures some of COCO's alone are evaluated on, and what is made of COCO drops those
(`vision_banana/data/evaluated_coco.py` makes the list).
"""

import ml_collections

from configs import base

PIXELS = 512
EVALUATED = "data/evaluated_coco.json"


def pretraining(groups: int, queries: int) -> ml_collections.ConfigDict:
    """Text to image on captioned pictures from the web, 512 px."""
    c = _common(groups, queries)
    c.steps = 200_000
    c.optimizer.learning_rate = 2e-4
    c.optimizer.warmup = 5000
    c.time = dict(mean=-0.8, std=0.8, shift=3.0, noise_share=0.0)
    c.data.mixture = dict(
        web=_web(weight=19.0),
        photographs=_drawn(
            dict(name="coco_captions", root="data/coco", evaluated=EVALUATED), weight=1.0
        ),
    )
    return c


def tuning(groups: int, queries: int) -> ml_collections.ConfigDict:
    """Drawing goes on, and three pictures in ten are asked about what is seen, 512 px."""
    c = _common(groups, queries)
    c.model.text_length = 256  # a legend of twenty classes, or a long question
    c.steps = 20_000
    c.optimizer.learning_rate = 5e-5
    c.optimizer.warmup = 500
    c.time = dict(mean=-0.8, std=1.0, shift=3.0, noise_share=0.3)
    coco = dict(name="coco_panoptic", root="data/coco", evaluated=EVALUATED, max_classes=20)
    ade20k = dict(name="ade20k", root="data/ade20k", max_classes=20)
    regions = dict(name="refcoco", root="data/refer_seg", evaluated=EVALUATED)
    c.data.mixture = dict(
        web=_web(weight=7.0),
        hypersim=_seen(
            dict(name="hypersim", root="data/hypersim", split="train"),
            *("depth", "surface_normals"),
            weight=1.0,
        ),
        tartanair=_seen(dict(name="tartanair", root="data/tartanair"), "depth", weight=0.5),
        midair=_seen(dict(name="midair", root="data/midair"), "depth", weight=0.25),
        coco=_seen(coco, "semantic_segmentation", "instance_segmentation", weight=0.5),
        ade20k=_seen(ade20k, "semantic_segmentation", weight=0.25),
        refcoco=_seen(
            dict(regions, dataset="refcoco"), "referring_segmentation", weight=0.1, flip=False
        ),
        refcoco_plus=_seen(
            dict(regions, dataset="refcoco+"), "referring_segmentation", weight=0.1, flip=False
        ),
        # Rendered here: edits, and surfaces and outlines whose truth is exact.
        scenes=_seen(
            dict(name="scenes", split="train", size=PIXELS, absent=0.1),
            *("image_editing", "surface_normals", "instance_segmentation"),
            weight=0.3,
            flip=False,
        ),
    )
    return c


def phase(
    name: str, file: str, groups: int, queries: int, tuning_queries: int
) -> ml_collections.ConfigDict:
    """The config of a phase, "pretrain" or "tune".

    Raises:
      ValueError: for another phase.
    """
    if name == "pretrain":
        return pretraining(groups, queries)
    if name == "tune":
        return tuning(groups, tuning_queries)
    raise ValueError(f"phase is {name!r}; write {file}:pretrain or {file}:tune")


def _common(groups: int, queries: int) -> ml_collections.ConfigDict:
    c = base.get_config()
    c.optimizer.b2 = 0.95
    c.objective.ema_decay = 0.9999
    c.data.size = PIXELS
    c.data.groups, c.data.queries = groups, queries
    c.data.workers = 16
    c.data.max_bad_share = 0.05  # captions from the web that are too long are left out
    c.model.text_length = 128
    c.log_every = 50
    c.checkpoint_every = 1000
    return c


def _seen(source: dict, *tasks: str, weight: float, flip: bool = True) -> dict:
    """A source with truths, whose tasks are asked equally often; "left" forbids to flip."""
    return dict(
        source=source, tasks=dict.fromkeys(tasks, 1.0), weight=weight, references=1, flip=flip
    )


def _drawn(source: dict, weight: float) -> dict:
    """A source of captioned pictures, which are drawn from their captions."""
    return dict(
        source=source, tasks=dict(image_generation=1.0), weight=weight, references=0, flip=False
    )


def _web(weight: float) -> dict:
    """Captioned pictures from the web, a TFDS set that was prepared as ArrayRecord."""
    return _drawn(
        dict(
            name="tfds_captions",
            dataset="laion400m/images",
            split="train",
            image="image",
            caption="caption",
            captions_per_picture=1,
            data_dir=ml_collections.config_dict.placeholder(str),
        ),
        weight,
    )
