"""What a page lets in, and the sentence for what it does not."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vision_banana.web import limits
from vision_banana.web.limits import Limits

SMALL = Limits(megabytes=0.01, megapixels=0.001)


def _write(path, picture, **options):
    picture.save(path, **options)
    return path


def test_a_picture_is_read_as_it_is(tmp_path):
    levels = np.arange(30, dtype=np.uint8).reshape(2, 5, 3)
    path = _write(tmp_path / "a.png", Image.fromarray(levels))
    np.testing.assert_allclose(limits.read_picture(path, Limits()), levels / 255.0, atol=1e-6)


def test_a_large_picture_is_shrunk_to_the_side_that_a_page_shows(tmp_path):
    path = _write(tmp_path / "a.png", Image.new("RGB", (2048, 512), (255, 0, 0)))
    picture = limits.read_picture(path, Limits())
    assert picture.shape == (256, 1024, 3)
    np.testing.assert_allclose(picture[100, 500], [1, 0, 0], atol=1e-6)
    thin = _write(tmp_path / "thin.png", Image.new("RGB", (4096, 1)))
    assert limits.read_picture(thin, Limits()).shape == (1, 1024, 3)


def _bomb(width, height):
    """A PNG of few bytes that says it is large."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    )


def _noise():
    file = io.BytesIO()
    levels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(levels).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "bound", "says"),
    [
        (bytes(115_000_000), Limits(100), "the file has 109.7 MB; up to 100 MB are taken"),
        (b"no picture", SMALL, "cannot be read as a picture"),
        (b"", SMALL, "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", SMALL, "cannot be read as a picture"),
        (_bomb(40, 26), SMALL, "limit of 1000: make it smaller, or .* larger --max_megapixels"),
        (_bomb(60_000, 60_000), Limits(), r"too many pixels: make it smaller \(.*3600000000 "),
        (_bomb(12_000, 12_000), Limits(), "144000000 pixels, more than the limit of 25000000"),
        (_noise()[:200], Limits(), "truncated or damaged"),
    ],
    ids=["bytes", "text", "empty", "svg", "pixels", "bomb", "large", "truncated"],
)
def test_other_uploads_are_refused_in_a_sentence(tmp_path, content, bound, says):
    path = tmp_path / "secret_name.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says) as refused:
        limits.read_picture(path, bound)
    assert "\n" not in str(refused.value) and "secret_name" not in str(refused.value)


@pytest.mark.parametrize("path", ["absent", ".", os.devnull, "pipe"])
def test_what_is_no_file_is_not_waited_for(tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"^the picture is no longer here: choose it again$"):
        limits.read_picture(tmp_path / path, Limits())


def test_the_sizes_at_the_limit_are_taken(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (40, 25)).save(file, "png")
    path = tmp_path / "a.png"
    path.write_bytes(file.getvalue())
    bound = Limits(megabytes=len(file.getvalue()) / 2**20, megapixels=0.001)
    assert limits.read_picture(path, bound).shape == (25, 40, 3)


@pytest.mark.parametrize("value", [None, 0, 51, 1.5, float("nan"), float("inf")])
def test_whole_numbers_outside_are_refused(value):
    assert limits.whole("steps", 50.0, 1, 50) == 50
    with pytest.raises(ValueError, match=r"steps is .*; it must be a whole number from 1 to 50"):
        limits.whole("steps", value, 1, 50)


@pytest.mark.parametrize("value", [None, 0, -1, 10.5, float("nan")])
def test_weights_outside_are_refused(value):
    assert limits.weight("prompt guidance", 10, 10) == 10
    with pytest.raises(ValueError, match=r"prompt guidance is .* above 0 and at most 10"):
        limits.weight("prompt guidance", value, 10)


def test_prompts():
    assert limits.prompt("  a cube ", Limits()) == "a cube"
    for nothing in (None, "", " \n"):
        with pytest.raises(ValueError, match="empty"):
            limits.prompt(nothing, Limits())
    with pytest.raises(ValueError, match="1001 letters; up to 1000"):
        limits.prompt("x" * 1001, Limits())
