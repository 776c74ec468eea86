"""Photos in and pictures out: any image becomes upright (H, W, 3) uint8 RGB within limits; PNG files are written whole.

Nothing but the pixels comes through: EXIF and all other metadata end here.
"""

import io
import os
import stat
import warnings
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms

from .errors import ImageError
from .files import write_bytes, writing

MAX_PIXELS = 100_000_000
MAX_SIDE_PX = 20_000
MIN_SIDE_PX = 8  # below this there is nothing to see, and resizing filters have nothing to work on

# What Pillow may try. A list of our own keeps out formats that run other programs (EPS starts Ghostscript).
# (JPEG includes MPO, what many phones write.) AVIF and HEIF are not in every build of Pillow.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM")
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
HEIF_BRANDS = {b"mif1", b"msf1"}  # of HEIC and of AVIF: what it is, the brands after it tell
AVIF_BRANDS = {b"avif", b"avis"}
UPRIGHT = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}  # EXIF orientation -> what turns (H, W[, 3]) upright, ten times faster than Pillow does
LARGE_PROFILE_BYTES = 4_000_000
BAND_ROWS = 128  # of a large photo at once

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
        return _pixels(source, "the photo")
    with _file(source) as file, _open(file, _name(source)) as image:
        return _pixels(image, _name(source))


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
            if image.has_transparency_data:
                values, limit = np.asarray(image.convert("RGBA").getchannel("A")), 127
            elif image.mode == "P":
                values, limit = np.asarray(image), 0
            else:
                values = np.asarray(image.convert("L"))
                limit = 127 if values.max() > 1 else 0  # masks of 0 and 1 are common
            values = _upright(values, _orientation(image))
        except Exception as problem:  # as in _pixels
            raise _damaged(name, problem) from problem
    if values.shape != tuple(photo_hw):
        sizes = f"{values.shape[1]} x {values.shape[0]} pixels, the photo {photo_hw[1]} x {photo_hw[0]}"
        raise ImageError(f"The mask {name} is {sizes}. Make them the same size.")
    return values > limit


def _name(source: ImageSource) -> str:
    """For messages."""
    return Path(source).name if isinstance(source, str | os.PathLike) else "the photo"


def _file(source: ImageSource) -> BinaryIO:
    """What holds the bytes of `source`, open for reading."""
    if isinstance(source, bytes | bytearray):
        return io.BytesIO(source)
    if not isinstance(source, str | os.PathLike):
        raise ImageError(
            f"A photo cannot be read from a {type(source).__name__}. "
            "Pass a path, the bytes of a file, a PIL image or an (H, W, 3) uint8 RGB array."
        )
    path = Path(source).expanduser()
    try:
        mode = path.stat().st_mode
        file = path.open("rb") if stat.S_ISREG(mode) else None  # opening a pipe would wait for ever
    except FileNotFoundError as problem:
        raise ImageError(f"There is no file {path}. Check its name and folder.") from problem
    except (OSError, ValueError) as problem:  # ValueError: a null character in the name
        reason = getattr(problem, "strerror", None) or problem
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


def _check_size(width: int, height: int, name: str) -> None:
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(
            f"{name} is {width} x {height} pixels, and at least {MIN_SIDE_PX} a side are needed. Choose a larger photo."
        )
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        raise ImageError(
            f"{name} is {width} x {height} pixels; the limits are {MAX_PIXELS // 1_000_000} megapixels "
            f"and {MAX_SIDE_PX} pixels a side. Make it smaller first."
        )


def _open(file: BinaryIO, name: str) -> Image.Image:
    """The image in `file`, its size checked, its pixels not yet decoded."""
    head = file.read(64)
    if not head:
        raise ImageError(f"{name} is empty (0 bytes). Choose another file, or copy it again.")
    file.seek(0)
    if is_heic(head) and not _heic_can_be_read():
        remedy = "" if _is_hosted() else " Or have it read here: pip install pi-heif."
        raise ImageError(
            f"{name} is a HEIC photo, which cannot be read here. Save it as JPEG first (on a Mac: Preview, File, "
            f"Export; for those an iPhone takes from now on: Settings, Camera, Formats, Most Compatible).{remedy}"
        )
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limits here are stricter
            image = Image.open(file, formats=formats)
    except Image.DecompressionBombError as problem:
        raise ImageError(
            f"{name} is larger than {MAX_PIXELS // 1_000_000} megapixels. Make it smaller first."
        ) from problem
    except Exception as problem:  # Pillow's readers raise whatever a damaged header makes them stumble over
        raise ImageError(
            f"{name} is not an image that can be read, or it is damaged. Choose a JPEG, PNG, WebP, TIFF or AVIF file."
        ) from problem
    _check_size(*image.size, name)
    return image


def is_heic(head: bytes) -> bool:
    """Whether a file that begins with `head`, 64 bytes of it, is a HEIC photo."""
    if head[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(head[:4], "big"), len(head))
    others = {head[at : at + 4] for at in range(16, end - 3, 4)}  # after the main brand and its version
    return head[8:12] in HEIC_BRANDS or (head[8:12] in HEIF_BRANDS and not others & AVIF_BRANDS)


def _is_hosted() -> bool:
    """Whether this is a Hugging Face Space."""
    return "SPACE_ID" in os.environ


def _heic_can_be_read() -> bool:
    """HEIC needs the optional pi-heif, and is off on a hosted Space: its decoders have had holes."""
    if _is_hosted():
        return False
    try:
        import pi_heif
    except ImportError:
        return False
    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return True


def _pixels(image: Image.Image, name: str) -> np.ndarray:
    """An opened image of checked size as (H, W, 3) uint8."""
    try:
        image.load()
        _check_size(*image.size, name)  # that of HEIC may be another than its header says
        orientation = _orientation(image)
        profile = image.info.get("icc_profile")
        if image.mode in ("F", "I") or image.mode.startswith("I;16"):
            image = Image.fromarray(_grey_to_8_bit(np.asarray(image)))
        alpha = None
        if image.has_transparency_data:
            image = image.convert("RGBA")
            alpha = np.asarray(image.getchannel("A"))
        elif image.mode in ("P", "1"):
            image = image.convert("RGB")
        pixels = _rgb_array(_to_srgb(image, profile))
    except ImageError:
        raise
    except Exception as problem:  # as above: decoders raise anything on damaged data
        raise _damaged(name, problem) from problem
    return _upright(pixels if alpha is None else _over_white(pixels, alpha), orientation)


def _rgb_array(image: Image.Image) -> np.ndarray:
    """A decoded image as (H, W, 3) uint8. In bands: Pillow converts and hands out pixels by way of two copies."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)).convert("RGB"))
    return pixels


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


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours by the ICC profile, unless it is sRGB anyway or cannot be used. 0.3 s at 12 megapixels."""
    if not profile or len(profile) > LARGE_PROFILE_BYTES:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        if image.mode == "RGBA":
            image = image.convert("RGB")
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile, or one of another kind of image
        return image


def _grey_to_8_bit(grey: np.ndarray) -> np.ndarray:
    """(H, W) as uint8. Integers span 0..65535, floats 0..1, 0..255 or that; beyond it, the maximum is white."""
    spans = (1, 255, 65535) if grey.dtype.kind == "f" else (65535,)
    grey = np.nan_to_num(grey.astype(np.float32), posinf=0, neginf=0)
    largest = grey.max()
    white = next((span for span in spans if largest <= span), largest)
    return np.rint(np.clip(grey * (255 / white), 0, 255)).astype(np.uint8)


def _over_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`pixels` (H, W, 3) uint8 itself, from now on over white by its opacity `alpha` (H, W) uint8."""
    for top in range(0, len(pixels), BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        weight = alpha[rows, :, None].astype(np.uint16)
        pixels[rows] = (pixels[rows] * weight + 255 * (255 - weight) + 127) // 255
    return pixels


# ---- out ------------------------------------------------------------------------------------------------------------


def write_png(path: str | Path, image: np.ndarray) -> Path:
    """Write (H, W, 3) RGB or (H, W, 4) RGBA uint8, or (H, W) uint8 or uint16. About 0.4 s at 12 megapixels.

    OpenCV's own choice (run lengths of differences to the left) is faster and smaller on photos than zlib's level 1.
    """
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    ordered = image if image.ndim == 2 else cv2.cvtColor(image, order[image.shape[2]])
    return write_bytes(path, cv2.imencode(".png", ordered)[1])


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
