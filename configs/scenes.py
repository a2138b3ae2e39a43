"""Mixtures over the embedded procedural scenes, which need no download."""

import ml_collections


def pretraining() -> ml_collections.ConfigDict:
    """Drawing alone: text to image, and edits, from which a model learns to look at a reference.

    Both are asked about one scene at a time; a generation does not see its picture.
    """
    return ml_collections.ConfigDict(
        dict(
            pictures=dict(
                source=dict(name="scenes", split="train", size=64),
                tasks=dict(image_generation=1.0, image_editing=1.0),
                weight=1.0,
                references=1,
                flip=False,
            ),
        )
    )


def tuning() -> ml_collections.ConfigDict:
    """Every task about a picture; `data.vision_share` sets the share of seeing.

    One in ten instance and referring questions names what is not in the picture; half of the
    referring ones ask by names alone. Each asks for 1 to 4 regions of its own.

    Edits with two reference pictures are batches of their own, one in sixteen.
    """
    return ml_collections.ConfigDict(
        dict(
            pictures=dict(
                source=dict(
                    name="scenes", split="train", size=64, absent=0.1, named=0.5, regions=4
                ),
                tasks=dict(
                    depth=1.2,
                    surface_normals=1.0,
                    semantic_segmentation=2.0,
                    instance_segmentation=1.0,
                    referring_segmentation=2.0,
                    image_generation=1.0,
                    image_editing=0.5,
                ),
                weight=15.0,
                references=1,
                flip=False,
            ),
            two_pictures=dict(
                source=dict(name="scenes", split="train", size=64, references=2),
                tasks=dict(image_editing=1.0),
                weight=1.0,
                references=2,
                flip=False,
            ),
        )
    )
