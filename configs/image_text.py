"""Text-to-image training on a captioned data set of your own.

    python -m vision_banana.train --config configs/image_text.py --workdir runs/mine \
        --config.data.mixture.captions.source.dataset=laion400m/images \
        --config.data.mixture.captions.source.data_dir=~/tensorflow_datasets

The set is any captioned TFDS data set prepared as ArrayRecord (no TensorFlow needed to read it),
but for those made of COCO: `configs/image_text.py:coco` reads COCO's own files, without the
pictures that are evaluated on (`vision_banana/data/evaluated_coco.py` makes the list). `:folder`
reads a folder of pictures with captions, and `:shards` what `python -m vision_banana.data.prepare`
makes of folders, WebDataset tars and Parquet files, which is the way for more pictures than a few
thousand. Hours and scores depend on the data.
"""

import ml_collections

from configs import base


def get_config(kind: str = "tfds") -> ml_collections.ConfigDict:
    """The config; `kind` is "tfds", "coco", "folder" or "shards"."""
    c = base.get_config()
    c.model.size = "pocket"
    c.steps = 20_000
    sources = {
        "tfds": dict(
            name="tfds_captions",
            dataset="laion400m/images",
            split="train",
            image="image",
            caption="caption",
            captions_per_picture=1,
            data_dir=ml_collections.config_dict.placeholder(str),
        ),
        "coco": dict(name="coco_captions", root="data/coco", evaluated="data/evaluated_coco.json"),
        "folder": dict(name="image_folder", path="pictures"),
        "shards": dict(name="shards", path="shards", texts_per_picture=1),
    }
    if kind not in sources:
        raise ValueError(f"kind is {kind!r}; write image_text.py:tfds, :coco, :folder or :shards")
    c.data.mixture = dict(
        captions=dict(
            source=sources[kind],
            tasks=dict(image_generation=1.0),
            weight=1.0,
            references=0,
            flip=False,
        )
    )
    return c
