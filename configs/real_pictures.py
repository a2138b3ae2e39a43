"""Real pictures: a checkpoint that knows the embedded scenes is tuned on small real sets.

    export VISION_BANANA_SAMPLES=/data/samples
    python -m vision_banana.train --config configs/real_pictures.py --workdir runs/real_pictures

Trained on are the training parts of the sets of `vision_banana/data/samples.py`; the held-out parts
(`vision_banana/data/sample_splits.py`) are benchmarks, and `experiments/real_pictures` scores them
before and after. Half of the groups still come from the scenes, so that drawing is kept. With
another checkpoint than the packaged one, of the size `config.model.size`:
`--config.init_from=FOLDER`. It takes a quarter of an hour on a slow core;
`experiments/real_pictures` says what it gave.

The pictures of COCO may be some that RefCOCOg or ReasonSeg ask about. Whoever scores the model
there lists them with `vision_banana/data/evaluated_coco.py` first, and trains without them:

    --config configs/real_pictures.py:evaluated_coco.json
"""

import ml_collections

from configs import instruction_tune, scenes

# set -> tasks, and how often a group comes from it; together as often as from the scenes.
SETS = {
    "pets": (("referring_segmentation",), 5.0),
    "coco": (("semantic_segmentation", "instance_segmentation"), 5.0),
    "tum_rgbd": (("depth",), 3.0),
    "comma10k": (("semantic_segmentation",), 1.5),
    "cleargrasp": (("depth", "surface_normals", "instance_segmentation"), 0.75),
    "cleargrasp_real": (("depth", "surface_normals"), 0.75),
}


def get_config(evaluated: str | None = None) -> ml_collections.ConfigDict:
    """The config; `evaluated` lists pictures of COCO that are not trained on."""
    c = instruction_tune.get_config("whole")
    c.steps = 400
    c.init_from = "pocket"
    c.optimizer.learning_rate = 3e-4
    c.optimizer.muon_rate = 0.005
    c.data.vision_share = 0.8
    c.data.mixture = scenes.tuning()
    for dataset, (tasks, weight) in SETS.items():
        c.data.mixture[dataset] = dict(
            source=dict(name="samples", dataset=dataset, split="train"),
            tasks=dict.fromkeys(tasks, 1.0),
            weight=weight,
            references=1,
            flip=True,
        )
    if evaluated:
        c.data.mixture.coco.source.evaluated = evaluated
    return c
