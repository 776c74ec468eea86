"""Photos in and pictures out: any image becomes upright (H, W, 3) uint8 RGB within limits; PNG files are written whole.

Nothing but the pixels comes through: EXIF and all other metadata end here.
"""

import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms

from .errors import ImageError, SapiensError
from .files import expanded, write_bytes, writing
from .hosted import is_hosted
from .image_parts import READ_BYTES, CountedFile, scans, tiff_parts
from .options import FOREGROUNDS

MAX_PIXELS = 100_000_000
# Of formats whose decoders need more for a pixel than 10 bytes. Measured: PNG 7, JPEG 10 at most, with four colours 12,
# AVIF 11, WebP 16, JPEG 2000 19 bytes and a second for 14 megapixels. So all stay below 1 GB.
FEWER_PIXELS: dict[str | None, int] = {
    "CMYK": 75_000_000,
    "AVIF": 50_000_000,
    "HEIF": 50_000_000,
    "WEBP": 50_000_000,
    "JPEG2000": 25_000_000,
}
MAX_SIDE_PX = 20_000
MIN_SIDE_PX = 8  # below this there is nothing to see, and resizing filters have nothing to work on

# What Pillow may try. A list of our own keeps out formats that run other programs (EPS starts Ghostscript).
# (JPEG includes MPO, what many phones write.) AVIF and HEIF are not in every build of Pillow. Of PPM those whose pixels
# are bytes: Pillow reads numbers written as text in minutes.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM")
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
HEIF_BRANDS = {b"mif1", b"msf1"}  # of HEIC and of AVIF: what it is, the brands after it tell
AVIF_BRANDS = {b"avif", b"avis"}
UPRIGHT: dict[int | None, Callable[..., np.ndarray]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}  # EXIF orientation -> what turns (H, W[, 3]) upright, ten times faster than Pillow does
LARGE_PROFILE_BYTES = 4_000_000

MOST_SCANNED = 2_500_000_000  # pixels, over all scans of a JPEG: a second. Usual are 10 scans.
BAND_ROWS = 128  # of a large photo at once
SPANS = (1, 255, 65535)  # where numbers of deep grey end, as files have them

ImageSource = str | os.PathLike | bytes | bytearray | Image.Image | np.ndarray


# ---- in -------------------------------------------------------------------------------------------------------------


def read_image(source: ImageSource) -> np.ndarray:
    """Any image as upright RGB.

    Turned by its EXIF orientation; colours taken to sRGB where a profile says they are something else; transparent
    places white, as a browser shows them; 16-bit and float grey scaled to 8 bit; the first frame of an animation.

    Args:
        source: a path, the bytes of a file, a PIL image, or an (H, W, 3) uint8 RGB array.

    Returns:
        (H, W, 3) uint8 RGB, contiguous, of its own memory.

    Raises:
        ImageError: not an image, damaged, too small or too large (seen before it is decoded), or a wrong array.
    """
    if isinstance(source, np.ndarray):
        return _checked_array(source)
    if isinstance(source, Image.Image):
        _check_size(*source.size, "the photo")
        return _upright(_pixels(source, "the photo"), _orientation(source))
    with _file(source) as file:
        return _upright(*_decoded(file, _name(source)))


def read_mask(source: ImageSource, photo_hw: tuple[int, int]) -> np.ndarray:
    """A picture of where people are, as (H, W) bool.

    People are where it is opaque if it has transparent places (a cut-out), where the index is not 0 if it is indexed
    (labels), else where it is light.

    Raises:
        ImageError: as read_image, and where its size is not `photo_hw`.
    """
    with _file(source) as file, _open(file, name := _name(source)) as image:
        try:
            image.load()
            if _is_deep(image):
                white = _white(image, SPANS)
                values, limit = _in_bands(image, lambda band: _grey_to_8_bit(np.asarray(band), white)), 127
            elif image.has_transparency_data:
                values, limit = _in_bands(image, _opacity), 127
            elif image.mode == "P":
                values, limit = np.asarray(image), 0
            else:
                values = _in_bands(image, lambda band: np.asarray(band.convert("L")))
                limit = 127 if values.max() > 1 else 0  # masks of 0 and 1 are common
            values = _upright(values, _orientation(image))
        except Exception as problem:  # as in _pixels
            raise _damaged(name, problem) from problem
    if values.shape != tuple(photo_hw):
        sizes = f"{values.shape[1]} x {values.shape[0]} pixels, the photo {photo_hw[1]} x {photo_hw[0]}"
        raise ImageError(f"The mask {name} is {sizes}. Make them the same size.")
    return values > limit


def given_mask(foreground: str | Path | np.ndarray, photo_hw: tuple[int, int]) -> np.ndarray | None:
    """The user's own mask as (H, W) bool; None where `foreground` is a word of options.FOREGROUNDS.

    Raises:
        SapiensError: its size is not the photo's, or as read_mask.
    """
    if isinstance(foreground, np.ndarray):
        if foreground.shape != photo_hw:
            raise SapiensError(f"The mask is {foreground.shape}, the photo {photo_hw}. Make them equal.")
        return foreground.astype(bool)
    return None if foreground in FOREGROUNDS else read_mask(foreground, photo_hw)


def _name(source: ImageSource) -> str:
    """For messages."""
    return Path(source).name if isinstance(source, str | os.PathLike) else "the photo"


def _file(source: ImageSource) -> CountedFile:
    """What holds the bytes of `source`, open for reading."""
    if isinstance(source, bytes | bytearray):
        return CountedFile(io.BytesIO(source))
    if not isinstance(source, str | os.PathLike):
        raise ImageError(
            f"A photo cannot be read from a {type(source).__name__}. "
            "Pass a path, the bytes of a file, a PIL image or an (H, W, 3) uint8 RGB array."
        )
    path = Path(source)
    try:
        path = expanded(path)
        mode = path.stat().st_mode
        file = (
            CountedFile(path.open("rb", buffering=0)) if stat.S_ISREG(mode) else None
        )  # opening a pipe would wait for ever
    except FileNotFoundError as problem:
        raise ImageError(f"There is no file {path}. Check its name and folder.") from problem
    except (OSError, ValueError) as problem:  # also: a null character in the name
        reason = getattr(problem, "strerror", None) or str(problem).rstrip(".")
        raise ImageError(f"{path} cannot be opened ({reason}). Check its name and that you may read it.") from problem
    if file is None:
        kind = "a folder" if stat.S_ISDIR(mode) else "not an ordinary file"
        raise ImageError(f"{path} is {kind}. Name a photo on disk.")
    return file


def _checked_array(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(
            f"A photo as an array must be (H, W, 3) uint8 RGB, but this one is {array.shape} {array.dtype}. "
            "Convert it first."
        )
    _check_size(array.shape[1], array.shape[0], "the photo")
    return np.array(array, order="C")


def _check_size(width: int, height: int, name: str, most: int = MAX_PIXELS) -> None:
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(
            f"{name} is {width} x {height} pixels, and at least {MIN_SIDE_PX} a side are needed. Choose a larger photo."
        )
    if width * height > most or max(width, height) > MAX_SIDE_PX:
        raise ImageError(
            f"{name} is {width} x {height} pixels; the limits are {most // 1_000_000} megapixels "
            f"and {MAX_SIDE_PX} pixels a side. Make it smaller first."
        )


def _open(file: CountedFile, name: str) -> Image.Image:
    """The image in `file`, its size checked, its pixels not yet decoded."""
    head = file.read(64)
    if not head:
        raise ImageError(f"{name} is empty (0 bytes). Choose another file, or copy it again.")
    most_reads = MAX_SIDE_PX + file.seek(0, io.SEEK_END) // READ_BYTES
    file.seek(0)
    if is_heic(head) and not _heic_can_be_read():
        remedy = "" if is_hosted() else " Or have it read here: pip install pi-heif."
        raise ImageError(
            f"{name} is a HEIC photo, which cannot be read here. Save it as JPEG first (on a Mac: Preview, File, "
            f"Export; for those an iPhone takes from now on: Settings, Camera, Formats, Most Compatible).{remedy}"
        )
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN and not (name == "PPM" and head[1:2] in b"123")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large photos, for which the limits here are stricter; of damaged TIFFs
            if head[:2] in (b"II", b"MM") and tiff_parts(file) > most_reads:
                raise OSError("too many strips or tiles")
            image = Image.open(file, formats=formats)
    except Image.DecompressionBombError as problem:
        raise ImageError(
            f"{name} is larger than {MAX_PIXELS // 1_000_000} megapixels. Make it smaller first."
        ) from problem
    except Exception as problem:  # Pillow's readers raise whatever a damaged header makes them stumble over
        raise ImageError(
            f"{name} is not an image that can be read, or it is damaged. Choose a JPEG, PNG, WebP, TIFF or AVIF file."
        ) from problem
    most = min(FEWER_PIXELS.get(kind, MAX_PIXELS) for kind in (image.format, image.mode))
    _check_size(*image.size, name, most)
    if image.format in ("JPEG", "MPO") and scans(file) * image.width * image.height > MOST_SCANNED:
        raise ImageError(f"{name} is a progressive JPEG of too many scans. Open and re-save it.")
    file.reads_left = most_reads
    return image


def _decoded(file: CountedFile, name: str) -> tuple[np.ndarray, int | None]:
    """The pixels as they lie, (H, W, 3) uint8, and their orientation. What Pillow decoded is let go."""
    with _open(file, name) as image:
        return _pixels(image, name), _orientation(image)


def is_heic(head: bytes) -> bool:
    """Whether a file that begins with `head`, 64 bytes of it, is a HEIC photo."""
    if head[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(head[:4], "big"), len(head))
    others = {head[at : at + 4] for at in range(16, end - 3, 4)}  # after the main brand and its version
    return head[8:12] in HEIC_BRANDS or (head[8:12] in HEIF_BRANDS and not others & AVIF_BRANDS)


def _heic_can_be_read() -> bool:
    """HEIC needs the optional pi-heif, and is off on a hosted Space: its decoders have had holes."""
    if is_hosted():
        return False
    try:
        import pi_heif
    except ImportError:
        return False
    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return True


def _pixels(image: Image.Image, name: str) -> np.ndarray:
    """An opened image of checked size as (H, W, 3) uint8, as it lies."""
    try:
        image.load()
        _check_size(*image.size, name)  # that of HEIC may be another than its header says
        return _in_bands(image, _Colours(image).rgb, 3)
    except ImageError:
        raise
    except Exception as problem:  # as above: decoders raise anything on damaged data
        raise _damaged(name, problem) from problem


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    """A decoded image in pieces: whatever Pillow converts or hands out is a copy, and of a large photo has 400 MB."""
    for top in range(0, image.height, BAND_ROWS):
        yield image.crop((0, top, image.width, min(top + BAND_ROWS, image.height)))


def _in_bands(image: Image.Image, of_band: Callable[[Image.Image], np.ndarray], *channels: int) -> np.ndarray:
    """What `of_band` makes of all bands, (H, W, *channels) uint8."""
    values = np.empty((image.height, image.width, *channels), np.uint8)
    for number, band in enumerate(_bands(image)):
        values[number * BAND_ROWS : number * BAND_ROWS + band.height] = of_band(band)
    return values


def _opacity(image: Image.Image) -> np.ndarray:
    """(H, W) uint8."""
    return np.asarray(image.convert("RGBA").getchannel("A"))


class _Colours:
    """How bands of an image become RGB: by its profile, transparent places white, deep grey scaled to 8 bit."""

    def __init__(self, image: Image.Image) -> None:
        self._is_deep = _is_deep(image)
        self._is_transparent = not self._is_deep and image.has_transparency_data
        # Integers span 0..65535, floats 0..1, 0..255 or that.
        self._white = _white(image, SPANS if image.mode == "F" else SPANS[-1:]) if self._is_deep else 0
        is_rgb = self._is_transparent or image.mode in ("P", "1")
        self._mode = "L" if self._is_deep else "RGB" if is_rgb else image.mode
        self._transform = _to_srgb(self._mode, image.info.get("icc_profile"))

    def rgb(self, band: Image.Image) -> np.ndarray:
        """(rows, W, 3) uint8."""
        alpha = _opacity(band) if self._is_transparent else None
        if self._is_deep:
            band = Image.fromarray(_grey_to_8_bit(np.asarray(band), self._white))
        elif self._is_transparent:
            band = band.convert("RGBA")  # by way of it a colour that stands for transparency is just a colour
        band = band.convert(self._mode)
        pixels = np.asarray(ImageCms.applyTransform(band, self._transform) if self._transform else band.convert("RGB"))
        return pixels if alpha is None else _over_white(pixels, alpha)


def _damaged(name: str, problem: Exception) -> ImageError:
    return ImageError(f"{name} is damaged or incomplete ({problem}). Copy it again, or open and re-save it.")


def _orientation(image: Image.Image) -> int | None:
    """By EXIF, of a decoded image: Pillow turns TIFF while decoding, and forgets the tag then."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF beside good pixels: shown as it lies
        return None


def _upright(pixels: np.ndarray, orientation: int | None) -> np.ndarray:
    return UPRIGHT[orientation](pixels) if orientation in UPRIGHT else pixels


def _to_srgb(mode: str, profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    """What takes colours of an ICC profile to sRGB; None for those that are sRGB anyway, and where it cannot be used.
    0.3 s at 12 megapixels."""
    if not profile or len(profile) > LARGE_PROFILE_BYTES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile, or one of another kind of image
        return None


def _is_deep(image: Image.Image) -> bool:
    """Whether its pixels are grey of more than 8 bits: integers or floats."""
    return image.mode in ("F", "I") or image.mode.startswith("I;16")


def _white(grey: Image.Image, spans: Sequence[int]) -> float:
    """What is white of deep grey: the first of `spans` that nothing is beyond; where there is none, its maximum."""
    largest = max(float(_finite(band).max()) for band in _bands(grey))
    return next((span for span in spans if largest <= span), largest)


def _grey_to_8_bit(grey: np.ndarray, white: float) -> np.ndarray:
    """(H, W) as uint8, with `white` as 255."""
    return np.rint(np.clip(_finite(grey) * (255 / white), 0, 255)).astype(np.uint8)


def _finite(grey: np.ndarray | Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(grey, np.float32), posinf=0, neginf=0)


def _over_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`pixels` (H, W, 3) uint8 over white by their opacity `alpha` (H, W) uint8."""
    weight = alpha[..., None].astype(np.uint16)
    return (pixels * weight + 255 * (255 - weight) + 127) // 255


# ---- out ------------------------------------------------------------------------------------------------------------


def write_png(path: str | Path, image: np.ndarray) -> Path:
    """Write (H, W, 3) RGB or (H, W, 4) RGBA uint8, or (H, W) uint8 or uint16. About 0.4 s at 12 megapixels.

    OpenCV's own choice (run lengths of differences to the left) is faster and smaller on photos than zlib's level 1.
    """
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    ordered = image if image.ndim == 2 else cv2.cvtColor(image, order[image.shape[2]])
    return write_bytes(path, cv2.imencode(".png", ordered)[1].data)


def write_indexed_png(path: str | Path, labels: np.ndarray, palette: np.ndarray) -> Path:
    """Write labels (H, W) uint8 as a PNG whose pixels are the labels and whose `palette` (N, 3) uint8 colours them."""
    image = Image.fromarray(labels)
    image.putpalette(palette.tobytes())
    with writing(path) as partial:
        image.save(partial, "PNG", compress_level=1)
    return Path(path)


def shrink(image_rgb: np.ndarray, longest_px: int) -> np.ndarray:
    """The image with its longer side at most `longest_px`, for display; the image itself where it is small enough."""
    height, width = image_rgb.shape[:2]
    ratio = longest_px / max(height, width)
    if ratio >= 1:
        return image_rgb
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA)
