"""Photos in: every kind a user may have comes out as upright RGB, and every bad one with a sentence. PNG out."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from sapiens_mlx import image
from sapiens_mlx.errors import ImageError, SapiensError

# red | green over blue | white: tells every orientation and every mix-up of channels from the others
CORNERS = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)
PHOTO = CORNERS.repeat(16, axis=0).repeat(24, axis=1)  # (32, 48, 3)


def encoded(picture=PHOTO, form="PNG", **options):
    buffer = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def png_header(width, height):
    """A PNG that promises width x height pixels and ends there."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"x")


def close_to(found, expected=PHOTO, by=12):
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < by


# ---- what can be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "PPM"])
def test_a_common_format_cannot_be_read(form):
    close_to(image.read_image(encoded(form=form)))


def test_sources_of_one_photo_differ(tmp_path):
    path = tmp_path / "a photo ä.png"
    path.write_bytes(encoded())
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), Image.open(path), PHOTO):
        assert (image.read_image(source) == PHOTO).all()


def test_the_array_given_is_kept_and_changes_later():
    mine = PHOTO.copy()
    read = image.read_image(mine)
    mine[:] = 0
    assert (read == PHOTO).all()


def test_a_strided_array_is_not_made_contiguous():
    assert image.read_image(PHOTO[:, ::-1]).flags.c_contiguous


TURNS = [
    (1, lambda p: p),
    (2, np.fliplr),
    (3, lambda p: np.rot90(p, 2)),
    (4, np.flipud),
    (5, lambda p: p.swapaxes(0, 1)),
    (6, lambda p: np.rot90(p, 1)),
    (7, lambda p: np.rot90(p.swapaxes(0, 1), 2)),
    (8, lambda p: np.rot90(p, -1)),
]


@pytest.mark.parametrize(("orientation", "stored"), TURNS)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_a_phone_photo_lies_on_its_side(form, orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    close_to(image.read_image(encoded(np.ascontiguousarray(stored(PHOTO)), form, exif=exif)))


@pytest.mark.parametrize("mode", ["P", "L", "1", "CMYK", "YCbCr", "LAB", "RGBA", "LA", "PA", "I;16", "I", "F"])
def test_a_pixel_mode_breaks_reading(mode):
    grey = np.where(PHOTO.sum(-1) > 300, 255, 0).astype(np.uint8)
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        picture, expected = ImageCms.profileToProfile(Image.fromarray(PHOTO), srgb, lab, outputMode="LAB"), PHOTO
    elif mode in ("P", "CMYK", "YCbCr", "RGBA"):
        picture, expected = Image.fromarray(PHOTO).convert(mode), PHOTO
    elif mode in ("I;16", "I", "F"):
        dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        picture = Image.fromarray(grey.astype(dtype) * (dtype(257) if mode != "F" else 1))
        expected = np.dstack([grey] * 3)
    else:
        picture, expected = Image.fromarray(grey).convert(mode), np.dstack([grey] * 3)
    assert picture.mode == mode
    close_to(image.read_image(picture), expected, by=8 if mode == "LAB" else 2)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0, 1e6])
def test_a_float_tiff_comes_out_black_or_white(top):
    ramp = np.tile(np.linspace(0, top, 64, dtype=np.float32), (16, 1))
    ramp[0, :4] = np.nan, np.inf, -np.inf, -5
    read = image.read_image(encoded(Image.fromarray(ramp), "TIFF"))
    assert read[8, 0, 0] == 0 and read[8, -1, 0] == 255 and abs(int(read[8, 32, 0]) - 129) <= 2


def test_sixteen_bit_grey_is_cut_to_its_low_byte():
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (16, 1))
    read = image.read_image(cv2.imencode(".png", ramp)[1].tobytes())
    assert (read[8, :, 0] == np.arange(256)).all()


def test_transparent_places_are_not_white():
    rgba = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
    rgba[:16, :24] = (255, 0, 0, 0)
    rgba[16:, :24, 3] = 128
    read = image.read_image(encoded(rgba))
    assert (read[0, 0] == 255).all() and (read[-1, -1] == 255).all()
    assert (read[-1, 0] == (127, 127, 255)).all() and (read[0, -1] == (0, 255, 0)).all()


def test_an_animation_does_not_give_its_first_frame():
    frames = [Image.fromarray(PHOTO), Image.fromarray(255 - PHOTO)]
    close_to(image.read_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_profile_is_ignored(channels):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"____").replace(b"bXYZ", b"rXYZ").replace(b"____", b"bXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))  # red and blue change places
    picture = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])[..., :channels]
    close_to(image.read_image(encoded(picture, icc_profile=srgb)), by=1e-9)
    close_to(image.read_image(encoded(picture, icc_profile=swapped)), PHOTO[..., ::-1], by=2)


def test_a_damaged_profile_stops_the_photo():
    assert (image.read_image(encoded(icc_profile=b"no profile at all")) == PHOTO).all()


# ---- what cannot ----------------------------------------------------------------------------------------------------

HEIC = struct.pack(">I", 24) + b"ftypheic" + bytes(12)
BAD_BYTES = [
    (b"", "empty"),
    (b"just some text, not a photo", "not an image"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    (encoded(form="JPEG")[:-200], "damaged"),
    (encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[:9000], "damaged"),
    (png_header(0, 0), "not an image|0 x 0"),
    (encoded(PHOTO[:1, :1]), "1 x 1 pixels.*8 a side"),
    (png_header(30000, 30000), "100 megapixels"),
    (png_header(11000, 10000), "11000 x 10000.*100 megapixels"),
    (png_header(20001, 100), "20001 x 100.*20000 pixels a side"),
    (HEIC, "HEIC.*JPEG"),
]


@pytest.mark.parametrize(("data", "message"), BAD_BYTES)
@pytest.mark.filterwarnings("error")
def test_bad_bytes_pass_or_are_not_explained(data, message, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/space")  # where HEIC is off even if its plugin is installed
    with pytest.raises(ImageError, match=message) as caught:
        image.read_image(data)
    assert str(caught.value).endswith((".", ")."))


BAD_SOURCES = [
    (np.zeros((32, 48), np.uint8), r"\(H, W, 3\) uint8 RGB.*\(32, 48\)"),
    (np.zeros((32, 48, 4), np.uint8), r"\(32, 48, 4\)"),
    (np.zeros((32, 48, 3), np.float32), "float32"),
    (np.zeros((0, 48, 3), np.uint8), "48 x 0"),
    (np.zeros((4, 25_000, 3), np.uint8), "25000 x 4"),
    (None, "NoneType"),
    (7, "int"),
    ("no/such/photo.jpg", "no file"),
    ("bad\0name.jpg", "cannot be opened"),
    ("x" * 5000, "cannot be opened"),
    ("~nobody-is-called-so/photo.jpg", "There is no file"),
    ("~nobody\0/photo.jpg", "cannot be opened"),
]


@pytest.mark.parametrize(("source", "message"), BAD_SOURCES)
def test_a_bad_source_passes_or_is_not_explained(source, message):
    with pytest.raises(ImageError, match=message):
        image.read_image(source)


def test_a_folder_or_a_pipe_hangs_or_passes(tmp_path):
    with pytest.raises(ImageError, match="folder"):
        image.read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="not an ordinary file"):
        image.read_image(tmp_path / "pipe")


# ---- masks ----------------------------------------------------------------------------------------------------------

PEOPLE = PHOTO[..., 0] > 0  # the main diagonal
MASKS = [
    ("grey", Image.fromarray(PEOPLE.astype(np.uint8) * 255)),
    ("of 0 and 1", Image.fromarray(PEOPLE.astype(np.uint8))),
    ("of one bit", Image.fromarray(PEOPLE)),
    ("cut-out", Image.fromarray(np.dstack([255 - PHOTO, PEOPLE * np.uint8(255)]))),
]


# Light grey everywhere beside people, as far as a mask of that depth has it; and masks of 0 and 1 and of 0 to 255.
@pytest.mark.parametrize(
    ("dtype", "dark", "light"),
    [
        (np.uint16, 20_000, 60_000),
        (np.uint16, 0, 1),
        (np.uint16, 100, 200),
        (np.int32, 20_000, 60_000),
        (np.int32, 0, 1),
        (np.float32, 0.4, 0.6),
        (np.float32, 100, 200),
    ],
)
def test_a_mask_of_deep_grey_is_clipped(dtype, dark, light):
    mask = Image.fromarray(np.where(PEOPLE, light, dark).astype(dtype))
    assert (image.read_mask(encoded(mask, "TIFF"), PEOPLE.shape) == PEOPLE).all()


@pytest.mark.parametrize(("name", "mask"), MASKS)
def test_a_kind_of_mask_is_misread(name, mask):
    assert (image.read_mask(encoded(mask), PEOPLE.shape) == PEOPLE).all()


def test_saved_labels_do_not_serve_as_a_mask(tmp_path):
    path = image.write_indexed_png(tmp_path / "labels.png", PEOPLE * np.uint8(3), np.zeros((29, 3), np.uint8))
    assert (image.read_mask(path, PEOPLE.shape) == PEOPLE).all()


def test_a_mask_of_another_size_passes():
    with pytest.raises(ImageError, match="48 x 32 pixels, the photo 32 x 48"):
        image.read_mask(encoded(), (48, 32))


# ---- out ------------------------------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(0)
PICTURES = [
    RANDOM.integers(0, 256, (9, 7, 3), np.uint8),
    RANDOM.integers(0, 256, (9, 7, 4), np.uint8),
    RANDOM.integers(0, 256, (9, 7), np.uint8),
    RANDOM.integers(0, 65536, (9, 7), np.uint16),
    RANDOM.integers(0, 256, (300, 1, 3), np.uint8),  # several bands
    RANDOM.integers(0, 65536, (257, 33), np.uint16)[::-1, ::2],
]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda p: f"{p.shape}{p.dtype}")
def test_a_png_loses_or_swaps_something(tmp_path, picture):
    path = image.write_png(tmp_path / "out.png", picture)
    assert (np.asarray(Image.open(path)) == picture).all()
    order = {2: np.s_[:], 3: np.s_[:, :, [2, 1, 0, 3][: picture.shape[-1]]]}[picture.ndim]
    assert (cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[order] == picture).all()  # another reader
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]


def test_indexed_labels_lose_their_numbers_or_colours(tmp_path):
    labels = RANDOM.integers(0, 29, (9, 7), np.uint8)
    palette = RANDOM.integers(0, 256, (29, 3), np.uint8)
    picture = Image.open(image.write_indexed_png(tmp_path / "labels.png", labels, palette))
    assert (np.asarray(picture) == labels).all()
    assert (np.asarray(picture.convert("RGB")) == palette[labels]).all()


def test_a_png_in_a_missing_folder_is_not_explained(tmp_path):
    with pytest.raises(SapiensError, match="could not be written"):
        image.write_png(tmp_path / "gone/out.png", PHOTO)


@pytest.mark.parametrize(("longest", "size_hw"), [(24, (16, 24)), (48, (32, 48)), (500, (32, 48)), (1, (1, 1))])
def test_shrink_enlarges_or_loses_the_ratio(longest, size_hw):
    assert image.shrink(PHOTO, longest).shape == (*size_hw, 3)
