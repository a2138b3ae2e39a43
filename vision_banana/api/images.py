"""Pictures as people hold them, to (H, W, 3) float32 RGB in [0, 1]."""

import os

import jax
import numpy as np
from etils import epath
from PIL import Image

from vision_banana.data import pictures

BUCKETS = ("gs://", "s3://")

Image_ = str | os.PathLike[str] | bytes | Image.Image | np.ndarray | jax.Array


def to_rgb(image: Image_) -> np.ndarray:
    """Reads one picture.

    Args:
      image: a path ("~" is the home folder), a file's bytes, a PIL picture, or an array, NumPy or
        JAX: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the last with alpha, which is laid over
        white; uint8, uint16, or floats in [0, 1]. Of an animation that is open in PIL, the frame
        at which it stands.

    Returns:
      (H, W, 3) float32 RGB in [0, 1].

    Raises:
      FileNotFoundError: where a path leads to no file; names it.
      ValueError: what is no picture or cannot be read; names it, and says what to do.
    """
    if isinstance(image, str) and _is_address(image):
        raise ValueError(f"{image} is not fetched: download the picture and give its path or bytes")
    if isinstance(image, str | os.PathLike | bytes):
        try:
            return pictures.read(image if isinstance(image, bytes) else _expanded(image))
        except (FileNotFoundError, IsADirectoryError) as error:
            raise FileNotFoundError(
                f"there is no picture file {pictures.describe(image)}: give the path of a picture"
            ) from error
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if isinstance(image, np.ndarray | jax.Array):
        return _from_array(np.asarray(image))
    raise ValueError(
        f"a {type(image).__name__} is no picture; give a path, bytes, a PIL picture or an array"
    )


def is_folder(path: str) -> bool:
    """Whether a path, local or in a bucket, leads to a folder."""
    return not _is_address(path) and _expanded(path).is_dir()


def _expanded(path: str | os.PathLike[str]) -> epath.Path:
    return epath.Path(path).expanduser()


def _is_address(path: str) -> bool:
    return "://" in path and not path.startswith(BUCKETS)


def _from_pil(image: Image.Image) -> np.ndarray:
    name = f"a picture of mode {image.mode}, {image.width}x{image.height}"
    if image.width == 0 or image.height == 0:
        raise ValueError(f"{name} is empty: a picture needs at least one pixel")
    try:
        image.load()  # PIL reads the file only now
    except Exception as error:  # each format's parser raises what it likes
        raise ValueError(f"{name} is truncated or damaged: {error}") from error
    return pictures.to_rgb(pictures.turned(image), name)


def _from_array(array: np.ndarray) -> np.ndarray:
    name = f"an array of shape {array.shape} and dtype {array.dtype}"
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(f"{name} is no picture: it must be (H, W), (H, W, 3) or (H, W, 4)")
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:  # of either byte order
        rgb = array.astype(np.float32) / np.iinfo(array.dtype).max
    elif array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        rgb = array.astype(np.float32)
        if not ((rgb >= 0) & (rgb <= 1)).all():  # NaN is outside too
            raise ValueError(
                f"{name} holds values outside [0, 1] or NaN; floats are RGB in [0, 1], 8-bit "
                "levels are uint8"
            )
    else:
        raise ValueError(f"{name} is no picture: use uint8, uint16, or floats in [0, 1]")
    if array.shape[-1] == 4:
        rgb = rgb[..., :3] * rgb[..., 3:] + (1 - rgb[..., 3:])
    return np.broadcast_to(rgb, (*rgb.shape[:2], 3)) if rgb.shape[-1] == 1 else rgb
