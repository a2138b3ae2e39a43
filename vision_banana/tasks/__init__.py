"""The tasks: every question that the generator answers with a picture, one file each."""

from vision_banana.tasks import (
    depth,
    image_editing,
    image_generation,
    instance_segmentation,
    referring_segmentation,
    semantic_segmentation,
    surface_normals,
)
from vision_banana.tasks.task import Task

TASKS: dict[str, Task] = {
    module.TASK.name: module.TASK
    for module in (
        image_generation,
        image_editing,
        depth,
        surface_normals,
        semantic_segmentation,
        instance_segmentation,
        referring_segmentation,
    )
}
