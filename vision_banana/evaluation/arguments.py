"""Values of the command line that several commands take, checked before anything is loaded."""

import argparse

from vision_banana.evaluation import own_pictures, point_cloud


def seed(text: str) -> int:
    """A seed, as argparse's `type`."""
    if not text.isdecimal() or int(text) >= own_pictures.SEEDS:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write a whole number from 0 to {own_pictures.SEEDS - 1}"
        )
    return int(text)


def field_of_view(text: str) -> float:
    """A horizontal field of view in degrees, as argparse's `type`."""
    try:
        degrees = float(text)
        point_cloud.focal_length(1, degrees)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write a field of view between 0 and 180 degrees, 60 for a common camera"
        ) from error
    return degrees
