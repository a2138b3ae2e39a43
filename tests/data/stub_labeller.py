"""A labeller that finds squares of pure red, each an instance, and refuses blue pictures."""

import numpy as np
from scipy import ndimage

seen = []


def squares(picture):
    seen.append(picture.shape)
    if picture[0, 0, 2] == 1:
        raise ValueError("blue: no use")
    red = (picture == [1, 0, 0]).all(-1)
    places, count = ndimage.label(red)
    everything = np.stack([places == i for i in range(1, count + 1)] or [red])
    return {"red square": everything, "unicorn": np.zeros((1, *red.shape), bool)}


def corner(picture):
    mask = np.zeros((1, *picture.shape[:2]), bool)
    mask[0, 0, 0] = True
    return {"corner": mask}


def wrong_size(picture):
    return {"x": np.ones((1, 2, 2), bool)}


def no_phrase(picture):
    return {" ": np.ones((1, *picture.shape[:2]), bool)}


NUMBER = 3
