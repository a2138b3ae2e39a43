"""Cameras, solids and layouts that a test makes by hand."""

import numpy as np

from vision_banana.data import scene_layout, scene_settings


def camera(height=1.5, tangent=1.0, rotation=None):
    return scene_layout.Camera(height, np.eye(3) if rotation is None else rotation, tangent)


def solid(kind, center, scale, color="red", rotation=None):
    base = scene_settings.COLORS[color]
    return scene_layout.Solid(
        kind,
        color,
        scene_settings.Texture("plain", (base, base)),
        center,
        np.eye(3) if rotation is None else rotation,
        scale,
        bound=float(np.linalg.norm(scale)),
    )


def layout(*solids, setting=None, at=None, spare=None):
    return scene_layout.Layout(
        camera=at or camera(),
        solids=solids,
        spare=spare,
        setting=setting or scene_settings.outdoors("grass", "blue"),
        room=((-3.0, 0.0, -6.0), (3.0, 2.5, 2.0)),
        lamp=(0.0, 2.4, -2.0),
        sun=(0.0, 1.0, 0.0),
    )
