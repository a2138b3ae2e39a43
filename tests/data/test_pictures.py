import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from vision_banana.data import image_folder, pictures


def _bytes(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _rgb(*colors):
    return Image.fromarray(np.asarray([colors], np.uint8))


def test_rgb_is_its_own_value(tmp_path):
    path = tmp_path / "a.png"
    _rgb((255, 0, 51), (0, 102, 204)).save(path)
    picture = pictures.read(path)
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture, [[[1, 0, 0.2], [0, 0.4, 0.8]]], atol=1e-6)


@pytest.mark.parametrize(
    "image, color",
    [
        (Image.new("L", (1, 1), 51), (0.2, 0.2, 0.2)),
        (Image.new("1", (1, 1), 1), (1, 1, 1)),
        (Image.fromarray(np.full((1, 1), 13107, np.uint16)), (0.2, 0.2, 0.2)),  # 65535 / 5
        (Image.new("RGBA", (1, 1), (255, 0, 0, 51)), (1, 0.8, 0.8)),  # a fifth red over white
        (Image.new("LA", (1, 1), (0, 0)), (1, 1, 1)),
    ],
)
def test_conversions_by_hand(image, color):
    np.testing.assert_allclose(pictures.read(_bytes(image))[0, 0], color, atol=1e-6)


def test_palette_gives_colours_as_a_picture_and_numbers_as_labels():
    image = Image.fromarray(np.asarray([[0, 2]], np.uint8), "L")
    image.putpalette([0, 0, 0, 9, 9, 9, 255, 102, 0])
    data = _bytes(image)
    np.testing.assert_allclose(pictures.read(data)[0, 1], [1, 0.4, 0], atol=1e-6)
    assert pictures.read_labels(data).tolist() == [[0, 2]]
    clear = _bytes(image, transparency=2)
    np.testing.assert_allclose(pictures.read(clear)[0, 1], [1, 1, 1], atol=1e-6)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def swapped():
    """A profile in which what is called red is green, and what is called green is red."""
    return SRGB.replace(b"rXYZ", b"****").replace(b"gXYZ", b"rXYZ").replace(b"****", b"gXYZ")


def linear():
    """A profile of sRGB's primaries whose codes are linear light."""
    at = SRGB.index(b"para")  # the one curve of all three, g = 2.4 first
    line = b"curv" + bytes(4) + (0).to_bytes(4, "big")
    return SRGB[:at] + line + SRGB[at + len(line) :]


def test_an_embedded_profile_is_followed_by_hand(tmp_path):
    colours = [(255, 0, 0), (200, 100, 50), (0, 0, 0), (255, 255, 255)]
    path = tmp_path / "a.png"
    _rgb(*colours).save(path, icc_profile=swapped())
    seen = (pictures.read(path)[0] * 255).round().astype(int)
    np.testing.assert_allclose(seen, [(0, 255, 0), (100, 200, 50), (0,) * 3, (255,) * 3], atol=1)
    stored = (pictures.read(path, profile=False)[0] * 255).round().astype(int)
    np.testing.assert_array_equal(stored, colours)
    # 128 / 255 of the light is 1.055 * (128 / 255) ** (1 / 2.4) - 0.055 = 0.737 of white's code.
    grey = pictures.read(_bytes(_rgb((128, 128, 128)), icc_profile=linear()))
    np.testing.assert_allclose(grey[0, 0], 0.737, atol=0.003)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_pictures_of_every_colour_mode_follow_their_profile(mode, format):
    image = Image.new("RGB", (2, 2), (255, 0, 0)).convert(mode)
    data = _bytes(image, format, icc_profile=swapped())
    np.testing.assert_allclose(pictures.read(data)[0, 0], [0, 1, 0], atol=0.005)


@pytest.mark.parametrize("profile", [SRGB, LAB, b"no profile", SRGB[:300]])
def test_profiles_of_srgb_damaged_ones_and_those_of_other_spaces_change_nothing(profile):
    codes = np.arange(256, dtype=np.uint8)
    image = Image.fromarray(np.stack([codes, codes[::-1], codes // 2], -1)[None])
    plain = pictures.read(_bytes(image))
    np.testing.assert_array_equal(pictures.read(_bytes(image, icc_profile=profile)), plain)
    grey = Image.new("L", (1, 1), 51)
    assert pictures.read(_bytes(grey, icc_profile=swapped()))[0, 0, 0] == pytest.approx(0.2)


def test_exif_rotation_is_undone():
    # Orientation 6: the camera was turned, the stored left column is the top row.
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.asarray([[10, 20], [30, 40], [50, 60]], np.uint8), "L")
    data = _bytes(image, exif=exif)
    assert (pictures.read(data)[..., 0] * 255).round().tolist() == [[50, 30, 10], [60, 40, 20]]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_damaged_exif_block_turns_nothing(format):
    data = _bytes(Image.new("RGB", (4, 2), (255, 0, 0)), format, exif=b"Exif\0\0no block")
    picture = pictures.read(data)
    assert picture.shape == (2, 4, 3)
    np.testing.assert_allclose(picture[1, 3], [1, 0, 0], atol=0.02)


def test_first_picture_of_a_camera_file():
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8))
    data = _bytes(first, "MPO", save_all=True, append_images=[second])
    assert pictures.read(data)[4, 4, 0] > 0.9


def test_cmyk_and_float_are_refused():
    with pytest.raises(ValueError, match=r"colour mode CMYK.*sRGB"):
        pictures.read(_bytes(Image.new("CMYK", (2, 2)), "JPEG"))
    with pytest.raises(ValueError, match=r"colour mode F, 32-bit.*16-bit grey"):
        pictures.read(_bytes(Image.new("F", (2, 2)), "TIFF"))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animated_is_refused(format):
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue", "green")]
    data = _bytes(frames[0], format, save_all=True, append_images=frames[1:], duration=50)
    with pytest.raises(ValueError, match=r"animated.* 3 of them"):
        pictures.read(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_truncated_is_refused_by_name(tmp_path, format):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / "half.picture"
    data = _bytes(Image.fromarray(noise), format)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"half.picture is truncated"):
        pictures.read(path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of each cut
@pytest.mark.parametrize("format", ["GIF", "TIFF"])
def test_several_frames_cut_anywhere_are_refused(format):
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(3)]
    file = io.BytesIO()
    frames[0].save(file, format, save_all=True, append_images=frames[1:])
    for length in range(8, len(file.getvalue()), 23):
        with pytest.raises(ValueError, match=r"animated|truncated|cannot be read|has colour mode"):
            pictures.read(file.getvalue()[:length])


def test_empty_and_other_files_are_refused():
    with pytest.raises(ValueError, match=r"is empty"):
        pictures.read(b"")
    with pytest.raises(ValueError, match=r"cannot be read as a picture"):
        pictures.read(b"just some words, which no picture begins with")


def test_a_file_that_starts_a_program_is_refused_unread():
    with pytest.raises(ValueError, match=r"no known format"):
        pictures.read(_bytes(_rgb((255, 0, 0)), "EPS"))  # which Ghostscript would run


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000"])
def test_formats_that_are_read(format):
    assert format in pictures.FORMATS
    data = _bytes(Image.new("RGB", (32, 32), (255, 0, 0)), format)
    np.testing.assert_allclose(pictures.read(data)[16, 16], [1, 0, 0], atol=0.02)


def test_every_picture_that_is_trained_on_has_an_ending_that_is_read():
    assert image_folder.PICTURES | {".jfif", ".jp2", ".mpo", ".ppm"} <= set(pictures.ENDINGS)
    assert not {".eps", ".pdf", ".txt", ""} & set(pictures.ENDINGS)


def test_zero_size_is_refused():
    data = bytearray(_bytes(Image.new("RGB", (2, 2)), "BMP"))
    data[18:22] = (0).to_bytes(4, "little")  # the width in a BMP header
    with pytest.raises(ValueError, match=r"0x2 pixels|cannot be read"):
        pictures.read(bytes(data))


def test_the_limit_is_checked_before_decoding():
    data = _bytes(Image.new("1", (6000, 5000)))
    with pytest.raises(pictures.TooLarge, match=r"6000x5000 = 3.*limit of 1000: make it smaller$"):
        pictures.read(data, max_pixels=1000)
    bomb = _bytes(Image.new("1", (20000, 10000)))  # above the library's own limit as well
    with pytest.raises(ValueError, match=r"too many pixels.*\(200000000 pixels\)"):
        pictures.read(bomb)
    assert pictures.read(_bytes(Image.new("L", (10, 10))), max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(ValueError, match=r"10x10 = 100 pixels.*limit of 99"):
        pictures.read(_bytes(Image.new("L", (10, 10))), max_pixels=99)


def test_depth_in_millimetres_with_holes():
    image = Image.fromarray(np.asarray([[0, 1500, 65535]], np.uint16))
    depth, valid = pictures.read_depth(_bytes(image))
    np.testing.assert_allclose(depth, [[0, 1.5, 65.535]], rtol=1e-6)
    assert valid.tolist() == [[False, True, True]]
    np.testing.assert_allclose(pictures.read_depth(_bytes(image), 0.0002)[0][0, 1], 0.3, rtol=1e-6)


def test_depth_needs_16_bits_and_labels_one_channel():
    for mode in ("L", "RGB"):
        with pytest.raises(ValueError, match=rf"colour mode {mode}; depth needs 16-bit"):
            pictures.read_depth(_bytes(Image.new(mode, (2, 2))))
    with pytest.raises(ValueError, match=r"colour mode RGB; labels need one channel"):
        pictures.read_labels(_bytes(Image.new("RGB", (2, 2))))
    wide = Image.fromarray(np.asarray([[300, 7]], np.uint16))
    assert pictures.read_labels(_bytes(wide)).tolist() == [[300, 7]]


def test_depth_check():
    pictures.check_depth(np.asarray([[0.0, 1.0, np.inf]]), "d")
    with pytest.raises(ValueError, match=r"d has 1 NaN values.*row 0, column 1"):
        pictures.check_depth(np.asarray([[0.0, np.nan]]), "d")
    with pytest.raises(ValueError, match=r"d has 2 negative values.*\(-1.0\) at row 0, column 0"):
        pictures.check_depth(np.asarray([[-1.0, -np.inf]]), "d")
    pictures.check_depth(np.asarray([[np.nan, 1.0]]), "d", valid=np.asarray([[False, True]]))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        pictures.check_depth(np.ones(3), "d")
