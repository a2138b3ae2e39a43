"""Small picture files in memory, for tests of what reads them."""

import io

import numpy as np
from PIL import Image


def png(color, size=(6, 4)):
    """The bytes of a PNG of one colour; `size` is width and height."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return file.getvalue()


def save(path, array):
    """Writes an 8-bit or 16-bit array as a PNG, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path)
