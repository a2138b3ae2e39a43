"""Text-to-image training on a captioned data set of your own.

    python -m vision_banana.train --config configs/image_text.py --workdir runs/mine \
        --config.data.mixture.captions.source.dataset=coco_captions \
        --config.data.mixture.captions.source.data_dir=~/tensorflow_datasets

The set is any captioned TFDS data set prepared as ArrayRecord (no TensorFlow needed to read it);
`configs/image_text.py:folder` reads a folder of pictures with captions instead, and `:shards` what
`python -m vision_banana.data.prepare` makes of folders, WebDataset tars and Parquet files, which is
the way for more pictures than a few thousand. Hours and scores depend on the data.
"""

import ml_collections

from configs import base


def get_config(kind: str = "tfds") -> ml_collections.ConfigDict:
    """The config; `kind` is "tfds", "folder" or "shards"."""
    c = base.get_config()
    c.model.size = "pocket"
    c.steps = 20_000
    sources = {
        "tfds": dict(
            name="tfds_captions",
            dataset="coco_captions",
            split="train",
            image="image",
            caption="captions/text",
            captions_per_picture=5,
            data_dir=ml_collections.config_dict.placeholder(str),
        ),
        "folder": dict(name="image_folder", path="pictures"),
        "shards": dict(name="shards", path="shards", texts_per_picture=1),
    }
    if kind not in sources:
        raise ValueError(f"kind is {kind!r}; write image_text.py:tfds, :folder or :shards")
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
