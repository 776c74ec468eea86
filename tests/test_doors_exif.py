"""What a photo says beside its pixels (place, device, a small copy of itself) is in nothing that is made of it."""

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import draw_photo, serving
from command_line import run
from gradio_client import Client, handle_file
from page_values import VALUES
from PIL import ExifTags, Image, ImageCms, IptcImagePlugin

from sapiens_mlx.predictor import Predictor
from sapiens_mlx.ui import photos
from sapiens_mlx.ui.studio import exports
from sapiens_mlx.ui.visit import Visit

KINDS = ("exif", "gps", "thumbnail", "xmp", "iptc", "icc", "comment", "tail")
MARKS = {kind: f"MARK-OF-{kind.upper()}-48.2082N" for kind in KINDS}
TASKS = ("seg", "pose", "normal", "pointmap", "albedo", "matting", "detect", "features")
FORMATS = "coco17,wholebody133,openpose,csv,angles"
PIXELS_ALONE = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG that says each of these, in the way that cameras and programs write it."""
    plain = draw_photo(tmp_path / "plain.jpg", (96, 128))
    with Image.open(plain) as image:
        exif = image.getexif()
        exif[ExifTags.Base.Orientation] = 6
        exif[ExifTags.Base.ImageDescription] = MARKS["exif"]
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        gps |= {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (48.0, 12.0, 29.5)}
        gps[ExifTags.GPS.GPSAreaInformation] = MARKS["gps"].encode()
        small = io.BytesIO()
        image.resize((16, 12)).save(small, "JPEG", comment=MARKS["thumbnail"].encode())
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + MARKS["icc"].encode()
        profile = struct.pack(">I", len(profile)) + profile[4:]
        data = io.BytesIO()
        image.save(data, "JPEG", exif=exif, icc_profile=profile, comment=MARKS["comment"].encode())
    iptc = b"\x1c\x02\x78" + struct.pack(">H", len(MARKS["iptc"])) + MARKS["iptc"].encode()  # the caption
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(iptc)) + iptc + b"\x00" * (len(iptc) % 2)
    xmp = b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + MARKS["xmp"].encode()
    more = _segment(0xE1, xmp + b"</x:xmpmeta>") + _segment(0xED, iptc) + _segment(0xE2, b"FPXR\x00" + small.getvalue())
    path = tmp_path / "taken.jpg"
    path.write_bytes(data.getvalue()[:2] + more + data.getvalue()[2:] + MARKS["tail"].encode())
    with Image.open(path) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude][0] == 48
        assert IptcImagePlugin.getiptcinfo(image)[(2, 120)] == MARKS["iptc"].encode()
        assert {"icc_profile", "xmp", "comment"} <= image.info.keys()
    assert {kind for kind in KINDS if MARKS[kind].encode() in path.read_bytes()} == {*KINDS}
    return path


def _segment(kind: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data


def parts(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file, and of every file in it: .zip and .npz are both zips."""
    yield name, data
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for inside in archive.namelist():
                yield from parts(f"{name}/{inside}", archive.read(inside))


def check(paths: list[Path]) -> None:
    """Nothing of the marks is in these files; a PNG has nothing but pixels, packed or not."""
    for path in paths:
        for name, data in parts(path.name, path.read_bytes()):
            for kind, mark in MARKS.items():
                for written in (mark.encode(), mark.encode("utf-16-le"), mark.encode("utf-16-be")):
                    assert written not in data, f"{kind} is in {name}"
            assert b"Exif\x00" not in data and b"8BIM" not in data and b"xmpmeta" not in data, name
            if data.startswith(b"\x89PNG"):
                assert set(chunks(data)) <= PIXELS_ALONE, (name, set(chunks(data)))


def chunks(png: bytes) -> Iterator[bytes]:
    place = 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        yield png[place + 4 : place + 8]
        place += length + 12


@pytest.mark.slow
def test_a_file_of_predict_says_what_the_photo_did(photo, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--side-by-side", "--pose-formats", FORMATS, "--foreground", "auto", "--points", "500", "--json")
    status, printed, error = run(capsys, "predict", photo, "--task", ",".join(TASKS), "--out", out, *options)
    assert status == 0, error
    paths = list(out.iterdir())
    for task in TASKS:
        assert any(f"_{task}" in path.name or (task, "_depth") == ("pointmap", path.stem[-6:]) for path in paths), task
    check(paths)
    assert not any(mark in printed + error for mark in MARKS.values())


def test_a_comparison_says_what_the_photo_did(photo, tmp_path, capsys):
    options = ("--levels", "fp32,4bit", "--runs", "1", "--out", tmp_path / "out")
    status, _, error = run(capsys, "compare", photo, *options)
    assert status == 0, error
    check(list((tmp_path / "out").iterdir()))


def test_the_studios_zip_or_the_photo_it_shows_says_what_the_photo_did(photo, tmp_path):
    visit = Visit(tmp_path / "visit")
    taken = photos.open_file(visit, photo, photo.name)
    assert taken.rgb.shape == (96, 128, 3)  # turned, as its EXIF says
    for task in ("seg", "matting"):
        taken.results[task] = Predictor(task, "demo", "fp32")(taken.rgb)
    archive = exports.everything(visit, VALUES)
    assert len(zipfile.ZipFile(archive).namelist()) > 4
    check([archive, *(path for path in visit.folder.rglob("*") if path.is_file())])


@pytest.mark.slow
def test_a_call_of_the_page_says_what_the_photo_did(photo, tmp_path):
    (tmp_path / "page").mkdir()
    with serving(["app.py"], tmp_path / "page", {}) as server:
        client = Client(server.url, verbose=False, download_files=str(tmp_path / "received"))
        sent = {"tasks": "matting,pointmap", "points": 500}
        files, report, preview = client.predict(photo=handle_file(photo), api_name="/predict", **sent)
        assert len(files) > 5
        made = [path for path in server.files.rglob("visit-*/**/*") if path.is_file()]
        check([*map(Path, files), Path(preview), *made])
        assert not any(mark in json.dumps(report) for mark in MARKS.values())
        client.close()
