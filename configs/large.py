"""What the configs of the large sizes share: real pictures, and schedules for a TPU pod."""

import ml_collections

from configs import base

PIXELS = 512


def pretraining(groups: int, queries: int) -> ml_collections.ConfigDict:
    """Text to image on captioned pictures from the web, 512 px."""
    c = _common(groups, queries)
    c.steps = 200_000
    c.optimizer.learning_rate = 2e-4
    c.optimizer.warmup = 5000
    c.time = dict(mean=-0.8, std=0.8, shift=3.0, noise_share=0.0)
    c.data.mixture = dict(
        web=_captions("laion400m/images", "caption", 1, weight=19.0),
        photographs=_captions("coco_captions", "captions/text", 5, weight=1.0),
    )
    return c


def tuning(groups: int, queries: int) -> ml_collections.ConfigDict:
    """Drawing goes on, and one picture in four is a question about what is seen, 512 px."""
    c = _common(groups, queries)
    c.steps = 20_000
    c.optimizer.learning_rate = 5e-5
    c.optimizer.warmup = 500
    c.time = dict(mean=-0.8, std=1.0, shift=3.0, noise_share=0.3)
    c.data.mixture = dict(
        web=_captions("laion400m/images", "caption", 1, weight=3.0),
        scenes=dict(
            source=dict(name="scenes", split="train", size=PIXELS),
            tasks=dict(
                depth=1.0,
                surface_normals=1.0,
                semantic_segmentation=1.0,
                instance_segmentation=1.0,
                referring_segmentation=1.0,
                image_editing=1.0,
            ),
            weight=1.0,
            references=1,
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
    c.log_every = 50
    c.checkpoint_every = 1000
    return c


def _captions(dataset: str, caption: str, per_picture: int, weight: float) -> dict:
    """Captioned pictures of a TFDS set that was prepared as ArrayRecord."""
    return dict(
        source=dict(
            name="tfds_captions",
            dataset=dataset,
            split="train",
            image="image",
            caption=caption,
            captions_per_picture=per_picture,
            data_dir=ml_collections.config_dict.placeholder(str),
        ),
        tasks=dict(image_generation=1.0),
        weight=weight,
        references=0,
        flip=False,
    )
