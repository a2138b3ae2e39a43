"""Picture files to arrays: what is converted, what is refused, and why.

Converted: grey and black-and-white (three equal channels), palette (its colours), alpha (over
white), 16-bit grey (its full range), 16-bit colour (its high bytes), colours in an embedded RGB
profile (to sRGB; one that is damaged or of another colour space is passed over, as browsers do, and
so is a grey picture's), EXIF rotation (turned upright; a damaged EXIF block turns nothing), the
first picture of a camera's MPO file.
Refused with a ValueError that names the file, what was seen and the remedy: files that are empty,
truncated, of zero size, in none of `FORMATS`, animated or of several pages, stored in CMYK, Lab or
another mode that is neither RGB nor grey, floating point, or of more pixels than a limit.
"""

import functools
import io
import os
import warnings

import numpy as np
from etils import epath
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

# 0.8 GB as floats. Cameras of 61 and phones of 64 megapixels have fewer; phones' largest modes, of
# 108 and 200 megapixels, have more, as decompression bombs do.
MAX_PIXELS = 65_000_000
# Never EPS, which a program would be started to read. MPO opens as JPEG; Pillow 11.0 has no AVIF.
_SAFE = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
Image.init()
FORMATS = tuple(name for name in _SAFE if name in Image.OPEN)
# Of files that may be pictures, in lower case (".jpg", ".avif").
ENDINGS = tuple(
    sorted(e for e, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO"))
)

Source = str | os.PathLike[str] | bytes

_PLAIN = {"RGB", "L", "1", "P", "RGBA", "LA", "PA", "RGBX", "La", "RGBa"}
_GREY = {"L", "1", "LA", "La"}
_SIXTEEN_BITS = {"I;16", "I;16B", "I;16L", "I;16N"}


class TooLarge(ValueError):
    """A picture of more pixels than its reader was told to take; a larger limit lets it in."""


def read(
    source: Source, max_pixels: int = MAX_PIXELS, upright: bool = True, profile: bool = True
) -> np.ndarray:
    """Reads a picture file as people see it.

    Args:
      source: a path (or bucket address), or the bytes of a file.
      max_pixels: the largest width times height that is decoded.
      upright: whether EXIF rotation is undone; a truth that belongs to the stored pixels needs
        them as they are.
      profile: whether an embedded colour profile is followed; numbers that are kept as colours
        need them as they are stored.

    Returns:
      (H, W, 3) float32 sRGB in [0, 1].

    Raises:
      ValueError: see the top of this module; TooLarge where a larger `max_pixels` would do.
    """
    name = describe(source)
    return to_rgb(_open(source, name, max_pixels, upright), name, profile)


def to_rgb(image: Image.Image, name: str, profile: bool = True) -> np.ndarray:
    """The colours of a picture that is open; see `read`.

    Args:
      image: upright.
      name: what to call it in a message.
      profile: see `read`.
    """
    if image.mode in _SIXTEEN_BITS:
        grey = np.asarray(image, np.float32) / 65535
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in {"I", "F"}:
        raise ValueError(
            f"{name} has colour mode {image.mode}, 32-bit numbers that do not say which of them is "
            "white: save it as 8-bit sRGB or as 16-bit grey first"
        )
    if image.mode not in _PLAIN:
        raise ValueError(
            f"{name} has colour mode {image.mode}, whose colours need a profile to be right: "
            "save it as 8-bit sRGB (PNG or JPEG) first"
        )
    embedded = image.info.get("icc_profile") if profile and image.mode not in _GREY else None
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "La", "RGBa"}:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(paper, image)
    if embedded and (to_srgb := _to_srgb(embedded)):
        image = to_srgb.apply(image.convert("RGB"))
    return np.asarray(image.convert("RGB"), np.float32) / 255


@functools.lru_cache(maxsize=8)
def _to_srgb(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """What an RGB profile's colours are in sRGB; None where they stay, or it is no such profile."""
    try:
        theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.buildTransform(theirs, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None
    # Profiles of sRGB have many names and round apart: pixels that they hardly move stay exact.
    codes = np.arange(0, 256, 15).astype(np.uint8)
    cube = np.stack(np.meshgrid(codes, codes, codes), axis=-1).reshape(1, -1, 3)
    moved = np.asarray(found.apply(Image.fromarray(cube)))
    return None if np.abs(moved.astype(int) - cube).max() <= 2 else found


def read_labels(source: Source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads a label picture: the stored numbers, never a palette's colours.

    Returns:
      (H, W) int32.

    Raises:
      ValueError: besides `read`'s reasons, a picture of several channels.
    """
    name = describe(source)
    image = _open(source, name, max_pixels)
    if image.mode not in _SIXTEEN_BITS | {"L", "P", "1"}:
        raise ValueError(
            f"{name} has colour mode {image.mode}; labels need one channel of 8 or 16 bits: save "
            "the class or instance numbers themselves, not colours"
        )
    return np.asarray(image).astype(np.int32)


def read_depth(
    source: Source, metres_per_unit: float = 0.001, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a 16-bit depth picture, in which 0 means that nothing was measured.

    Args:
      source: a path, or the bytes of a file.
      metres_per_unit: 0.001 for millimetres.
      max_pixels: the largest width times height that is decoded.

    Returns:
      Depth, (H, W) float32 metres, 0 where unknown, and valid, (H, W) bool.

    Raises:
      ValueError: besides `read`'s reasons, a picture that is not 16-bit grey.
    """
    name = describe(source)
    image = _open(source, name, max_pixels)
    if image.mode not in _SIXTEEN_BITS:
        raise ValueError(
            f"{name} has colour mode {image.mode}; depth needs 16-bit grey, since 8 bits hold no "
            "millimetres and coloured depth holds no metres: save it as a 16-bit PNG"
        )
    units = np.asarray(image).astype(np.float32)
    return units * np.float32(metres_per_unit), units > 0


def read_codes(source: Source, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads a picture that holds numbers in three channels of 8 or 16 bits, all bits of them.

    It needs OpenCV, since Pillow keeps the high bytes of 16-bit colour alone.

    Returns:
      (H, W, 3) float32, the stored numbers over their largest, 255 or 65535.

    Raises:
      ValueError: besides `read`'s reasons, a picture that has not three channels.
    """
    name = describe(source)
    image = _open(source, name, max_pixels)  # every check there is
    if image.mode != "RGB":
        raise ValueError(f"{name} has colour mode {image.mode}; codes need three channels")
    try:
        import cv2
    except ImportError as e:
        raise ImportError(
            f"reading {name} needs OpenCV: pip install 'vision-banana[benchmarks]'"
        ) from e
    data = source if isinstance(source, bytes) else epath.Path(source).read_bytes()
    code = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if code is None or code.shape != (image.height, image.width, 3):
        raise ValueError(f"{name} cannot be read as three channels: fetch or save it again")
    return code[..., ::-1].astype(np.float32) / float(np.iinfo(np.dtype(code.dtype.name)).max)


def check_depth(depth: np.ndarray, name: str, valid: np.ndarray | None = None) -> None:
    """Refuses a depth map that cannot be metres; infinity is sky and allowed.

    Args:
      depth: (H, W) metres.
      name: what to call it in the message.
      valid: (H, W) bool, where the depth is claimed to be known; None means everywhere.

    Raises:
      ValueError: another shape, or NaN or negative values where valid.
    """
    if depth.ndim != 2 or 0 in depth.shape:
        raise ValueError(f"depth map {name} has shape {depth.shape}: it must be (H, W)")
    known = np.ones(depth.shape, bool) if valid is None else valid
    for what, bad in (("NaN", np.isnan(depth) & known), ("negative", (depth < 0) & known)):
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise ValueError(
                f"depth map {name} has {int(bad.sum())} {what} values, the first "
                f"({depth[row, column]}) at row {row}, column {column}: mark unknown depth in "
                "`valid` and write sky as infinity"
            )


def turned(image: Image.Image) -> Image.Image:
    """A picture that is loaded, upright; as it is stored where its EXIF block is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the parser raises what it likes
        return image


def to_u8(rgb: np.ndarray) -> np.ndarray:
    """RGB in [0, 1] to the nearest of 256 levels, uint8; values are clipped, NaN is black."""
    known = np.nan_to_num(np.asarray(rgb, np.float32))
    return np.rint(np.clip(known, 0, 1) * 255).astype(np.uint8)


def describe(source: Source) -> str:
    """What to call a source in a message."""
    return f"a picture of {len(source)} bytes" if isinstance(source, bytes) else str(source)


def _open(source: Source, name: str, max_pixels: int, upright: bool = True) -> Image.Image:
    """Opens, checks before decoding, decodes, and turns upright."""
    data = source if isinstance(source, bytes) else epath.Path(source).read_bytes()
    if not data:
        raise ValueError(f"{name} is empty (0 bytes): fetch or save it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as e:
        raise ValueError(f"{name} has too many pixels: make it smaller ({e})") from e
    except UnidentifiedImageError as e:  # its words hold an address, which no two runs share
        raise ValueError(
            f"{name} cannot be read as a picture: no known format; save it as PNG or JPEG"
        ) from e
    except Exception as e:  # each format's parser raises what it likes on broken headers
        raise ValueError(f"{name} cannot be read as a picture: {e}; save it as PNG or JPEG") from e
    width, height = image.size
    if width == 0 or height == 0:
        raise ValueError(f"{name} is {width}x{height} pixels: a picture needs at least one")
    if width * height > max_pixels:
        raise TooLarge(
            f"{name} is {width}x{height} = {width * height} pixels, more than the limit of "
            f"{max_pixels}: make it smaller"
        )
    try:
        frames = getattr(image, "n_frames", 1)  # reads on to the last one
        image.load()
    except Exception as e:
        raise ValueError(f"{name} is truncated or damaged: {e}; fetch or save it again") from e
    if frames > 1 and image.format != "MPO":
        raise ValueError(f"{name} is animated or has pages, {frames} of them: save the one meant")
    return turned(image) if upright else image
