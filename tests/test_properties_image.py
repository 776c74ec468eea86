"""Photos by hypothesis: whatever bytes come, there is a picture or a sentence; and pixels come as they went."""

import io

import numpy as np
import properties  # noqa: F401  how hypothesis runs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from sapiens_mlx.errors import ImageError
from sapiens_mlx.image import MIN_SIDE_PX, read_image, read_mask, shrink

SIDES = st.integers(MIN_SIDE_PX, 40)
PHOTOS = st.tuples(SIDES, SIDES, st.just(3)).flatmap(lambda shape: arrays.arrays(np.uint8, shape))
LOSSLESS = ("PNG", "TIFF", "BMP", "PPM")


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@given(PHOTOS, st.sampled_from(LOSSLESS))
def test_pixels_come_otherwise_than_they_went(photo, form):
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(photo), form)), photo)


@given(PHOTOS, st.integers(1, 8))
def test_what_lies_is_not_the_same_pixels_upright(photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_image(encoded(Image.fromarray(photo), "PNG", exif=exif))
    assert found.shape[:2] == (photo.shape[:2] if orientation < 5 else photo.shape[1::-1])
    assert (np.sort(found.reshape(-1, 3), axis=0) == np.sort(photo.reshape(-1, 3), axis=0)).all()


@given(
    st.binary(max_size=400),
    st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF\x40\0\0\0WEBP"]
    )
    | st.sampled_from(
        [b"P6 9 9 255 ", b"P3 9 9 255 ", b"\0\0\0\x20ftypavif", b"\0\0\0\x20ftypheic", b"\xff\x4f\xff\x51"]
    ),
)
def test_bytes_without_sense_are_no_sentence(data, head):
    for read in (read_image, lambda source: read_mask(source, (9, 9))):
        try:
            read(head + data)
        except ImageError as problem:
            assert str(problem).endswith("."), problem


@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF"]), st.data())
def test_a_photo_with_other_bytes_in_it_is_no_sentence(form, data):
    whole = bytearray(encoded(Image.new("RGB", (16, 16), (9, 99, 200)), form))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        read_image(bytes(whole[:cut]))
    except ImageError as problem:
        assert str(problem).endswith("."), problem


@given(arrays.arrays(bool, st.tuples(SIDES, SIDES)))
def test_a_mask_is_another_when_it_is_read(people):
    grey = Image.fromarray(people.astype(np.uint8) * 255)
    np.testing.assert_array_equal(read_mask(encoded(grey, "PNG"), people.shape), people)


@given(PHOTOS, st.integers(1, 60))
def test_a_smaller_picture_is_larger_than_asked(photo, longest):
    height, width = photo.shape[:2]
    shown = shrink(photo, longest)
    assert max(shown.shape[:2]) == min(longest, max(height, width))
    assert abs(shown.shape[1] * height - shown.shape[0] * width) <= max(height, width)
