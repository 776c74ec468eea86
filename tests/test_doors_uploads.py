"""Uploads: only what a visitor has sent is the visitor's, and is removed, in time; one that has gone is told."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Server, draw_photo, serving, until
from gradio.data_classes import FileData
from page_events import Visitor, file_data

from sapiens_mlx import image
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.ui import photos, storage
from sapiens_mlx.ui.process_folder import PREFIX
from sapiens_mlx.ui.storage import MCP_FOLDER, MCP_KEPT_S, Visits
from sapiens_mlx.ui.studio.run import Actions
from sapiens_mlx.ui.uploads import UploadReader

HASH = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The process's own."""
    return tmp_path / "ours"


@pytest.fixture
def upload(folder: Path) -> Path:
    path = folder / HASH / "photo.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"photo")
    return path


# ---- what is an upload ----------------------------------------------------------------------------------------------


def test_an_upload_that_two_visitors_share_goes_with_the_second_however_it_is_written(folder, upload):
    visits = Visits(folder)
    visits.hold(visits.of("a"), str(upload))
    visits.hold(visits.of("a"), str(upload))
    visits.hold(visits.of("b"), f"{folder}//{HASH}/../{HASH}/photo.jpg")
    visits.leave("b")
    assert upload.exists()
    visits.leave("a")
    assert not upload.exists()


@pytest.mark.parametrize(
    "named",
    [
        "licence",
        f"ours/{HASH}/../../licence",
        f"ours/{HASH}/link.jpg",
        f"ours/{'cd' * 32}/licence",
        f"{HASH}/photo.jpg",
        "ours/examples/one.jpg",
        "ours/other/photo-1/photo.png",
        f"ours/{'ef' * 32}/of_help.webp",
        f"ours/{HASH}",
        f"ours/{HASH}/folder",
        "ours/\0.jpg",
        "",
    ],
)
def test_what_is_no_upload_is_refused_and_stays(tmp_path, folder, upload, named):
    """Files of the installation, of the page, of others; links; folders: whatever a request may name."""
    own = folder / ("ef" * 32) / "of_help.webp"
    for path in (tmp_path / "licence", tmp_path / HASH / "photo.jpg", folder / "examples/one.jpg", own):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"ours")
    (upload.parent / "folder").mkdir()
    (upload.parent / "link.jpg").symlink_to(tmp_path / "licence")
    (folder / ("cd" * 32)).symlink_to(tmp_path)
    upload.unlink()
    visits = Visits(folder)
    visits.page_is_built()
    upload.write_bytes(b"photo")
    other = visits.of("other")
    picture = other.folder / "photo-1/photo.png"
    picture.parent.mkdir()
    picture.write_bytes(b"theirs")
    named = named.replace("other", other.folder.name)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SapiensError, match="was not sent to this page"):
        visits.hold(visits.of("a"), f"{tmp_path}/{named}")
    mine = visits.of("a").folder
    visits.leave("a")
    assert set(tmp_path.rglob("*")) == before - {mine}


def test_one_that_has_gone_is_told_and_a_visit_that_has_ended_holds_nothing(folder, upload):
    visits = Visits(folder)
    visit = visits.of("a")
    for gone in (upload.with_name("other.jpg"), folder / "visit-old/photo-1/photo.png"):
        with pytest.raises(SapiensError, match=r"^The clip is not here any more\. Drop it again\.$"):
            visits.hold(visit, gone, "clip")
    visits.leave("a")
    with pytest.raises(SapiensError, match="has ended"):
        visits.hold(visit, upload)
    assert upload.exists()


def test_what_no_event_names_goes_after_an_hour_and_what_is_held_or_still_comes_does_not(folder, upload, monkeypatch):
    now_s = 1000.0
    monkeypatch.setattr(storage, "monotonic", lambda: now_s)
    visits = Visits(folder)
    held, unclaimed, cut, coming = upload, upload.with_name("b.jpg"), folder / "tmpa1", folder / "tmpb2"
    for path in (unclaimed, cut, coming):
        path.write_bytes(b"x")
    visits.hold(visits.of("a"), held)
    visits.tidy()
    os.utime(coming, ns=(1, 1))  # more of it has come
    now_s += storage.UNCLAIMED_S / 2
    visits.of("a")
    visits.tidy()
    assert all(path.exists() for path in (held, unclaimed, cut, coming))
    now_s += storage.UNCLAIMED_S / 2
    visits.of("a")
    visits.tidy()
    assert [path.exists() for path in (held, unclaimed, cut, coming)] == [True, False, False, True]


def test_what_came_by_mcp_goes_after_some_minutes_without_another_call(folder, monkeypatch):
    now_s = 1000.0
    monkeypatch.setattr(storage, "monotonic", lambda: now_s)
    visits = Visits(folder)
    sent = folder / MCP_FOLDER / HASH / "file.png"
    sent.parent.mkdir(parents=True)
    sent.write_bytes(b"photo")
    visits.tidy()
    now_s += MCP_KEPT_S - 1
    visits.tidy()
    assert sent.exists()
    now_s += 1
    visits.tidy()
    assert not sent.exists()


def test_a_folder_that_comes_back_after_its_visit_goes_and_one_of_a_visitor_who_is_here_stays(folder):
    folder.mkdir()
    visits = Visits(folder)
    gone, here = visits.of("gone"), visits.of("here")
    visits.leave("gone")
    (gone.folder / "photo-1").mkdir(parents=True)  # as what saves a result makes them
    (gone.folder / "photo-1/seg.png").write_bytes(b"picture")
    visits.tidy()
    assert (gone.folder.exists(), here.folder.exists()) == (False, True)


def test_of_a_cut_upload_nothing_stays_where_the_disk_is_so_full_that_it_cannot_be_closed(tmp_path, monkeypatch):
    class Full:
        name = str(tmp_path / "tmp1")

        def close(self) -> None:
            raise OSError("No space left on device")

    async def cut(reader: UploadReader) -> None:
        raise ConnectionError

    Path(Full.name).write_bytes(b"half a photo")
    monkeypatch.setattr(UploadReader.__bases__[0], "parse", cut)
    reader = UploadReader.__new__(UploadReader)
    reader._files_to_close_on_error = [Full()]
    with pytest.raises(ConnectionError):
        asyncio.run(reader.parse())
    assert list(tmp_path.iterdir()) == []


# ---- the photo of a tab ---------------------------------------------------------------------------------------------


@pytest.fixture
def sent(folder: Path) -> FileData:
    """A photo as the frame of a tab hands it to an event."""
    path = folder / HASH / "photo.png"
    path.parent.mkdir(parents=True)
    return FileData(path=str(draw_photo(path)), orig_name="mine.png")


def test_a_photo_that_is_dropped_taken_out_and_dropped_again_is_there(folder, sent):
    visits = Visits(folder)
    visit = visits.of("a")
    photos.take(visits, visit, sent)
    assert photos.forget(visit, FileData(path=str(visit.photo.shown)))  # as Gradio tells of it
    assert visit.photo is None
    photos.take(visits, visit, sent)
    assert visit.photo.name == "mine.png"
    assert Path(sent.path).exists()
    visits.leave("a")
    assert not Path(sent.path).exists()


def while_reading(monkeypatch: pytest.MonkeyPatch, other: Callable[[], None]) -> list[threading.Thread]:
    """Whenever a photo is read, `other` is begun beside it first; the threads that it runs on."""
    read, begun = image.read_image, []

    def slow(path: Path) -> object:
        begun.append(threading.Thread(target=other))
        begun[-1].start()
        begun[-1].join(0.3)  # it has done what it can
        return read(path)

    monkeypatch.setattr(image, "read_image", slow)
    return begun


def test_a_photo_that_run_and_its_own_event_bring_is_taken_once(folder, sent, monkeypatch):
    """Run is pressed while the photo is being read; and the other way round."""
    visits = Visits(folder)
    visit = visits.of("a")

    def run() -> None:
        with visit.taking:
            photos.take(visits, visit, sent)
            visits.release(visit)

    runs = while_reading(monkeypatch, run)
    photos.take(visits, visit, sent)
    photo = visit.photo
    runs[0].join()
    assert (len(runs), visit.photos) == (1, [photo])
    assert not Path(sent.path).exists()  # the run needs it no more
    photos.take(visits, visit, sent)
    assert visit.photos == [photo]


def test_another_photo_takes_the_place_of_the_one_before_and_one_that_has_gone_does_not(folder, sent):
    visits = Visits(folder)
    visit = visits.of("a")
    photos.take(visits, visit, sent)
    other = folder / ("cd" * 32) / "other.png"
    other.parent.mkdir()
    photos.take(visits, visit, FileData(path=str(draw_photo(other))))
    assert [photo.name for photo in visit.photos] == ["other.png"]
    assert (Path(sent.path).exists(), other.exists()) == (False, True)
    with pytest.raises(SapiensError, match="not here any more"):
        photos.take(visits, visit, sent)  # a run that waited while the other one came
    assert [photo.name for photo in visit.photos] == ["other.png"]


def test_photos_that_are_added_stay_while_a_run_lets_go_of_its_own(folder, monkeypatch):
    uploads = [folder / (letters * 32) / "photo.png" for letters in ("ab", "cd")]
    for path in uploads:
        path.parent.mkdir(parents=True)
        draw_photo(path)
    visits = Visits(folder)
    visit = visits.of("a")

    def run() -> None:
        with visit.taking:
            visits.release(visit)

    runs = while_reading(monkeypatch, run)
    actions = Actions.__new__(Actions)
    monkeypatch.setattr(actions, "_visits", visits, raising=False)
    monkeypatch.setattr(actions, "_visit", lambda request: visit, raising=False)
    monkeypatch.setattr(actions, "_fresh", lambda visit, status="": status, raising=False)
    told = actions.photos_added([str(path) for path in uploads], None)
    for thread in runs:
        thread.join()
    assert (told, len(visit.photos)) == ("", 2)
    assert not any(path.exists() for path in uploads)


# ---- on a real page -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(["app.py"], tmp_path_factory.mktemp("page"), {}) as server:
        yield server


@pytest.mark.slow
def test_files_of_the_page_that_are_named_as_a_photo_are_refused_and_stay(server):
    """Gradio lets them through, for they lie where uploads do; what lies elsewhere it refuses by itself."""
    (folder,) = server.files.glob(f"{PREFIX}*")
    of_help = next(folder.glob("*/keypoints.webp"))
    paths = [folder / "examples/one_person.jpg", of_help]
    visitor = Visitor(server.url)
    with visitor.page():
        for path in paths:
            told = [json.dumps(visitor.ask("photo_changed", image=file_data(path)))]
            told.append(visitor.answer(visitor.call(file_data(path), "seg")))
            assert all("was not sent to this page" in one for one in told), told
        assert len(list(folder.glob("visit-*"))) > 0
    until(lambda: not list(folder.glob("visit-*")), 60)
    assert all(path.is_file() for path in paths)


def test_a_photo_that_has_gone_is_a_sentence_on_the_page_and_for_programs(server, tmp_path):
    visitor = Visitor(server.url)
    path = visitor.upload(draw_photo(tmp_path / "mine.png"))
    Path(path).unlink()
    asked = json.dumps(visitor.ask("photo_changed", image=file_data(path)))
    called = visitor.answer(visitor.call(file_data(path), "seg"))
    for told, again in (
        (asked, "The photo is not here any more. Drop it again."),
        (called, "any more. Send it again."),
    ):
        assert again in told
        assert str(server.files) not in told
