"""Tuning on pictures of your own with depth, normals, classes, instances or regions.

    python -m vision_banana.train --config configs/own_pictures.py:depth+surface_normals \
        --workdir runs/mine \
        --config.data.mixture.mine.source.path=/data/mine \
        --config.data.mixture.mine.source.metres_per_unit=0.001

`vision_banana/data/labelled_folder.py` shows the folder. Behind the colon stand the tasks that it
has truths for; depth needs the scale factor of its pictures. It begins with the packaged weights
(`--config.init_from=FOLDER` for others). One group in four is about the embedded scenes, so that
the generator does not lose what it knew. Hours and scores depend on the data.
"""

import ml_collections

from configs import base, scenes


def get_config(tasks: str = "depth") -> ml_collections.ConfigDict:
    """The config; `tasks` are names of tasks with + between them."""
    names = tuple(tasks.split("+"))
    c = base.get_config()
    c.model.size = "pocket"
    c.steps = 2000
    c.init_from = "pocket"
    c.optimizer.learning_rate = 3e-4
    c.optimizer.decay_share = 1.0
    c.objective.drop_text, c.objective.drop_references = 0.05, 0.02
    c.time = dict(mean=-1.0, std=1.0, shift=1.0, noise_share=0.9)
    c.data.mixture = dict(
        mine=dict(
            source=dict(
                name="labelled_folder",
                path="pictures",
                tasks=names,
                metres_per_unit=0.0,  # to be said where depth is asked for
                normal_signs=(1, 1, 1),
            ),
            tasks=dict.fromkeys(names, 1.0),
            weight=3.0,
            references=1,
            flip=False,
        ),
        scenes=dict(scenes.tuning().pictures, weight=1.0),
    )
    return c
