"""Photos of iPhones: read with the optional pi-heif, and explained without it. Real files, made by pillow-heif."""

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms

from sapiens_mlx import image
from sapiens_mlx.errors import ImageError

# Left half red, right half blue, and a white corner that tells where up is.
PHOTO = np.zeros((96, 160, 3), np.uint8)
PHOTO[:, :80], PHOTO[:, 80:], PHOTO[:32, :32] = (220, 30, 30), (30, 30, 220), 255


def start(brand: bytes, *others: bytes) -> bytes:
    """The box that every HEIC and AVIF file begins with, and nothing of a picture."""
    body = brand + bytes(4) + b"".join(others)
    return struct.pack(">I", 8 + len(body)) + b"ftyp" + body + bytes(40)


@pytest.fixture
def heif():
    pytest.importorskip("pi_heif", reason="pi-heif is not installed (requirements-dev.txt)")
    return pytest.importorskip("pillow_heif", reason="pillow-heif is not installed (requirements-dev.txt)")


def encoded(heif, pixels=PHOTO, **options) -> bytes:
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(pixels)).save(file, quality=95, **options)
    return file.getvalue()


# ---- read -----------------------------------------------------------------------------------------------------------


def test_a_photo_of_an_iphone_is_read_in_its_colours(heif):
    read = image.read_image(encoded(heif))
    assert read.shape == PHOTO.shape
    assert np.abs(read[40:, 8:72].astype(int) - PHOTO[40:, 8:72]).max() < 12
    assert np.abs(read[40:, 88:152].astype(int) - PHOTO[40:, 88:152]).max() < 12


def test_a_photo_that_lies_on_its_side_is_turned_once(heif, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(encoded(heif, exif=exif.tobytes()))
    read = image.read_image(path)
    assert read.shape == (160, 96, 3)
    assert read[8, 88].min() > 200  # the white corner: top left is top right now
    assert np.abs(read - np.rot90(PHOTO, -1).astype(int)).mean() < 6


def test_transparent_places_are_white(heif):
    pixels = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
    pixels[48:, :, 3] = 0
    read = image.read_image(encoded(heif, pixels))
    assert read[60:].min() > 240


def test_a_profile_that_fits_no_photo_does_not_stop_it(heif):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    file = io.BytesIO()
    made = heif.from_pillow(Image.fromarray(PHOTO))
    made.info["icc_profile"] = profile
    made.save(file, quality=95)
    assert image.read_image(file.getvalue()).shape == PHOTO.shape


def test_no_metadata_comes_through(heif, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "taken at 48.2082 N 16.3738 E"
    read = image.read_image(encoded(heif, exif=exif.tobytes()))
    assert b"48.2082" not in image.write_png(tmp_path / "x.png", read).read_bytes()


@pytest.mark.parametrize(("size", "message"), [((20_032, 64), "20000 pixels a side"), ((16, 4), "8 a side")])
def test_a_size_outside_the_limits_is_refused_before_it_is_decoded(heif, size, message, monkeypatch):
    data = encoded(heif, np.zeros((size[1], size[0], 3), np.uint8))
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match=message):
        image.read_image(data)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_photo_cut_short_is_told_of(heif, share):
    data = encoded(heif, np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    with pytest.raises(ImageError, match="damaged"):
        image.read_image(data[: int(share * len(data))])


def test_a_hosted_page_does_not_read_it(heif, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    with pytest.raises(ImageError, match="HEIC photo, which cannot be read here") as told:
        image.read_image(encoded(heif))
    assert "pip" not in str(told.value)


# ---- without the package --------------------------------------------------------------------------------------------


@pytest.fixture
def without(monkeypatch):
    """A machine that has no pi-heif, nor its plugin in Pillow from an earlier photo."""
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.delenv("SPACE_ID", raising=False)
    Image.init()
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)


@pytest.mark.parametrize(
    "head", [start(b"heic", b"mif1", b"heic"), start(b"mif1", b"mif1", b"heic"), start(b"hevc"), start(b"mif1")]
)
def test_without_the_package_a_sentence_says_how_to_convert(without, head, tmp_path):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(head)
    with pytest.raises(ImageError, match=r"IMG_0001\.HEIC is a HEIC photo, which cannot be read here") as told:
        image.read_image(path)
    for way in ("Preview", "Export", "Most Compatible", "pip install pi-heif"):
        assert way in str(told.value)


def test_avif_is_not_taken_for_heic(without):
    assert not image.is_heic(start(b"mif1", b"mif1", b"avif", b"miaf"))
    assert not image.is_heic(start(b"avif", b"mif1"))
    assert not image.is_heic(b"\xff\xd8\xff\xe0" + bytes(60))
    with pytest.raises(ImageError, match="not an image that can be read"):
        image.read_image(start(b"mif1", b"mif1", b"avif"))
