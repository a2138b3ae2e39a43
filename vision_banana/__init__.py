"""Vision Banana: one image generator that draws, edits and sees.

import vision_banana as vb
model = vb.load("pocket")
answer = model.perceive("photo.jpg", "metric depth")   # also: model.generate, model.edit
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision_banana.api.answers import (
        Answer,
        Depth,
        Instances,
        Normals,
        Picture,
        Regions,
        Segmentation,
    )
    from vision_banana.api.model import Model, load

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "Depth",
    "Instances",
    "Model",
    "Normals",
    "Picture",
    "Regions",
    "Segmentation",
    "load",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: `import vision_banana` stays quick, and the commands need none of it.
    if name not in __all__:
        raise AttributeError(f"module 'vision_banana' has no attribute {name!r}")
    from vision_banana.api import answers, model

    return getattr(model if hasattr(model, name) else answers, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
