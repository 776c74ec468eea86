"""Clips in: what comes out of files, folders and cameras, frame by frame, and what is said of bad ones."""

import shutil
import sys
from fractions import Fraction
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest

from sapiens_mlx.errors import ClipError, SapiensError
from sapiens_mlx.jobs import kinds
from sapiens_mlx.video import frames as frames_module
from sapiens_mlx.video.choices import Chosen
from sapiens_mlx.video.frames import Frame
from sapiens_mlx.video.read import open_clip

HEVC = {"codec": "libx265", "options": {"x265-params": "log-level=none"}}


def read(path: Path | str, chosen: Chosen | None = None, skip: int = 0, **options) -> list[Frame]:
    return list(open_clip(path, **options).frames(chosen or Chosen(), skip))


def numbers(frames: list[Frame]) -> list[int]:
    return [clips.number(frame.rgb) for frame in frames]


def damaged(path: Path, first: float, last: float) -> Path:
    """The file with noise in place of a part of it, between two shares of its length."""
    data = bytearray(path.read_bytes())
    places = slice(int(len(data) * first), int(len(data) * last))
    data[places] = np.random.default_rng(0).bytes(len(data[places]))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("plain.mp4", {}),
        ("quicktime.mov", {}),
        ("vp9.webm", {"codec": "libvpx-vp9"}),
        ("vp8, with hidden frames.webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}),
        ("moves.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
        ("10 bit.mp4", {"pix_fmt": "yuv420p10le", **HEVC}),
        ("name: with\nlines and ünïcode.mp4", {}),
    ],
)
def test_every_kind_of_file_gives_all_frames_in_order(tmp_path, name, settings):
    path = clips.write(tmp_path / name, **settings)
    clip = open_clip(path)
    frames = list(clip.frames(Chosen()))
    assert numbers(frames) == [frame.index for frame in frames] == list(range(24))
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(24)])
    assert clip.total == 24 and clip.lacks.sentences() == []
    assert frames[0].rgb.shape == (96, 128, 3) and frames[0].rgb.dtype == np.uint8


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("size_hw", [(96, 128), (720, 640)])
def test_colours_come_out_as_they_went_in(tmp_path, pix_fmt, size_hw):
    settings = HEVC if pix_fmt.endswith("10le") else {}
    path = clips.write(tmp_path / "a.mp4", 8, size_hw=size_hw, pix_fmt=pix_fmt, **settings)
    frame, drawn = read(path)[0].rgb, clips.frame_rgb(0, size_hw)
    side = size_hw[0] // 4
    inside = slice(size_hw[0] // 2 + 8, size_hw[0] // 2 + side - 8), slice(8, side - 8)
    np.testing.assert_allclose(frame[inside].mean((0, 1)), drawn[inside].mean((0, 1)), atol=4)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_is_applied_as_a_player_does(tmp_path, rotation, mirrored):
    path = clips.write(tmp_path / "a.mp4", 2, rotation=rotation, mirrored=mirrored)
    clip = open_clip(path)
    frame = next(clip.frames(Chosen())).rgb
    shown = clips.decoded(path)[0][1]
    shown = np.rot90(shown, rotation // 90)
    shown = shown[:, ::-1] if mirrored else shown
    assert clip.size_hw == frame.shape[:2] == shown.shape[:2]
    assert np.abs(frame.astype(int) - shown).mean() < 3


def test_times_of_a_variable_frame_rate_are_kept(tmp_path):
    pts = [index * index * 10 for index in range(24)]
    frames = read(clips.write(tmp_path / "a.mp4", pts=pts, time_base=Fraction(1, 600)))
    assert [frame.time_s for frame in frames] == pytest.approx([one / 600 for one in pts])


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    path = clips.write(tmp_path / "a.mp4", 2, sample_aspect_ratio=Fraction(4, 3))
    assert open_clip(path).size_hw == (96, 171)


def test_the_longest_side_is_limited_after_the_turn(tmp_path):
    path = clips.write(tmp_path / "a.mp4", 2, rotation=90)
    assert read(path, longest_px=64)[0].rgb.shape == (64, 48, 3)
    assert read(path, longest_px=1000)[0].rgb.shape == (128, 96, 3)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Chosen(5), list(range(5, 24))),
        (Chosen(0, 3), [0, 1, 2, 3]),
        (Chosen(3, 3), [3]),
        (Chosen(2, 20, 6), [2, 8, 14, 20]),
        (Chosen(20, 900), [20, 21, 22, 23]),
    ],
)
def test_the_chosen_frames_come_and_no_others(tmp_path, chosen, expected):
    path = clips.write(tmp_path / "a.mp4")
    assert numbers(read(path, chosen)) == expected
    assert numbers(read(path, chosen, skip=1)) == expected[1:]
    assert chosen.count(open_clip(path).total) == len(expected)


def test_a_first_frame_behind_the_end_is_told_with_the_count(tmp_path):
    with pytest.raises(ClipError, match="has 24 frames, 0 to 23: frame 24 is not among them"):
        read(clips.write(tmp_path / "a.mp4"), Chosen(24))


@pytest.mark.parametrize(("first", "last", "every"), [(-1, None, 1), (5, 4, 1), (0, None, 0)])
def test_a_choice_that_cannot_be_is_refused(first, last, every):
    with pytest.raises(SapiensError):
        Chosen(first, last, every)


# ---- bad files ------------------------------------------------------------------------------------------------------


def listed(runs: list[tuple[int, int]]) -> list[int]:
    return [index for first, last in runs for index in range(first, last + 1)]


@pytest.mark.parametrize(
    "settings",
    [
        {"options": {"g": "12"}},
        {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12:open-gop=0"}},
    ],
    ids=["h264", "hevc"],
)
def test_damage_in_the_middle_costs_the_frames_that_are_named_and_no_others(tmp_path, settings):
    path = damaged(clips.write(tmp_path / "a.mp4", 48, draw=clips.noisy, **settings), 0.4, 0.5)
    clip = open_clip(path)
    frames = list(clip.frames(Chosen()))
    missing, doubtful = listed(clip.lacks.missing), listed(clip.lacks.doubtful)
    assert missing
    assert sorted([frame.index for frame in frames] + missing) == list(range(48))
    sure = [frame for frame in frames if frame.index not in doubtful]
    assert numbers(sure) == [frame.index for frame in sure]
    assert frames[-1].index == 47 and 47 not in doubtful and len(sure) > 24
    assert [frame.time_s for frame in frames] == pytest.approx([frame.index / 25 for frame in frames])
    assert any("Missing, because the file is damaged" in sentence for sentence in clip.lacks.sentences())


def test_a_file_cut_off_gives_what_is_there_and_says_what_is_not(tmp_path):
    path = clips.write(tmp_path / "a.mp4", 48, draw=clips.noisy, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    clip = open_clip(path)
    frames = list(clip.frames(Chosen()))
    assert numbers(frames) == list(range(len(frames))) and 15 < len(frames) < 40
    assert clip.lacks.missing == [(len(frames), 47)]


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_a_webm_that_ends_early_says_when(tmp_path, share):
    path = clips.write(tmp_path / "a.webm", 48, draw=clips.noisy, codec="libvpx-vp9")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    clip = open_clip(path)
    count = len(list(clip.frames(Chosen())))
    assert 0 < count < 48
    assert f"end at {count / 25:.2f} s, and it should last 1.92 s" in " ".join(clip.lacks.sentences())


def test_a_gif_cut_off_says_after_which_frame(tmp_path):
    path = clips.write(tmp_path / "a.gif", 48, draw=clips.noisy, codec="gif", pix_fmt="rgb8")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = open_clip(path)
    count = len(list(clip.frames(Chosen())))
    assert 0 < count < 48 and f"after frame {count - 1}" in " ".join(clip.lacks.sentences())


def test_transparent_places_of_a_gif_are_white(tmp_path):
    from PIL import Image

    frames = [Image.new("RGBA", (32, 32), (0, 0, 0, 0)) for _ in range(3)]
    for index, one in enumerate(frames):
        one.paste((200, 0, 0, 255), (index * 8, 8, index * 8 + 8, 24))
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100, disposal=2)
    rgb = read(tmp_path / "a.gif")[1].rgb
    assert rgb[0, 0].tolist() == [255, 255, 255] and rgb[16, 12].tolist() == [200, 0, 0]


def audio_only(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        for frame in clips.tone(0.5, stream.codec_context.format.name):
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def without_frames(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        output.start_encoding()
    return path


def playlist(path: Path) -> Path:
    """What names other files: reading it would read them."""
    clips.write(path.with_name("other.ts"), 4)
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path.with_name('other.ts')}\n#EXT-X-ENDLIST\n")
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (audio_only, "holds sound, but no video"),
        (without_frames, "Not one frame|no video|not a video"),
        (lambda path: (path.write_bytes(b""), path)[1], r"is empty \(0 bytes\)"),
        (lambda path: path.write_text("no video at all") and path, "is not a video that can be read"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)) and path, "not a video|Not one frame"),
        (playlist, "is not a video that can be read"),
        (lambda path: path, "There is no file"),
    ],
    ids=["sound", "no frames", "empty", "text", "noise", "playlist", "not there"],
)
def test_what_is_no_video_gets_a_sentence(tmp_path, make, sentence):
    with pytest.raises(ClipError, match=sentence):
        open_clip(make(tmp_path / "a.mp4"))


def test_a_file_that_was_never_finished_gets_a_sentence(tmp_path):
    path = clips.write(tmp_path / "a.mp4", 24, draw=clips.noisy)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ClipError, match="was not finished"):
        open_clip(path)


def test_frames_too_small_get_a_sentence(tmp_path):
    with pytest.raises(ClipError, match="at least 8 a side"):
        open_clip(clips.write(tmp_path / "a.gif", 2, size_hw=(4, 40), codec="gif", pix_fmt="rgb8"))


# ---- folders and cameras --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve frames, named so that sorting by letters alone would mix them up."""
    path = tmp_path / "frames"
    path.mkdir()
    for index in range(12):
        cv2.imwrite(str(path / f"frame{index}.png"), clips.frame_rgb(index)[..., ::-1])
    (path / "notes.txt").write_text("no picture")
    return path


def test_a_folder_gives_its_pictures_in_the_order_of_their_numbers(folder):
    clip = open_clip(folder, frames_per_s=10)
    frames = list(clip.frames(Chosen()))
    assert numbers(frames) == list(range(12)) and clip.total == 12
    assert [frame.time_s for frame in frames] == pytest.approx([index / 10 for index in range(12)])


def test_pictures_that_cannot_be_read_or_are_no_frames_are_missing(folder):
    (folder / "frame3.png").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "frame7.png"), np.zeros((50, 50, 3), np.uint8))
    clip = open_clip(folder)
    assert numbers(list(clip.frames(Chosen()))) == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
    assert clip.lacks.missing == [(3, 3), (7, 7)]
    assert any("frame7.png is left out" in sentence for sentence in clip.lacks.sentences())


@pytest.mark.parametrize("ending", [".jfif", ".JPE", ".gif"])
def test_what_a_job_takes_for_a_photo_is_a_frame(tmp_path, ending):
    from PIL import Image

    assert kinds.is_media(f"a{ending}")
    for index in range(2):
        kind = "GIF" if ending == ".gif" else "JPEG"
        Image.fromarray(clips.frame_rgb(index)).save(tmp_path / f"{index}{ending}", kind)
    assert numbers(read(tmp_path)) == [0, 1]


def test_a_folder_without_pictures_gets_a_sentence(tmp_path, folder):
    (tmp_path / "none").mkdir()
    with pytest.raises(ClipError, match="There is no picture in the folder"):
        open_clip(tmp_path / "none")
    for path in folder.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ClipError, match="None of the 12 pictures"):
        open_clip(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="the sentence names a device of Linux")
@pytest.mark.parametrize("number", [73, "73"])
def test_a_camera_that_is_not_there_gets_a_sentence(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClipError, match="There is no camera 73"):
        open_clip(number)


def test_a_file_named_as_a_number_is_no_camera(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.move(clips.write(tmp_path / "a.mp4"), tmp_path / "7")
    assert open_clip("7").total == 24


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([(3, 3)], "frame 3"),
        ([(3, 5)], "frames 3 to 5"),
        ([(3, 3), (7, 9)], "frames 3 and 7 to 9"),
        ([(1, 1), (3, 3), (7, 9)], "frames 1, 3 and 7 to 9"),
        ([(n, n) for n in range(0, 40, 2)], "frames 0, 2, 4, 6, 8, 10, 12, 14 and 12 more"),
    ],
)
def test_missing_frames_are_told_in_words(runs, words):
    assert frames_module.in_words(runs) == words


@pytest.mark.parametrize(
    ("count", "more"), [(1, ""), (8, ""), (9, " and in 1 more place"), (2000, "in 1992 more places")]
)
def test_gaps_are_one_sentence_however_many(count, more):
    lacks = frames_module.Lacks(gaps_s=[(number, number + 0.5) for number in range(count)])
    (sentence,) = lacks.sentences()
    assert sentence.startswith("There are no frames between 0.00 s and 0.50 s") and f"{more} of the file." in sentence
    assert sentence.count("between") == min(8, count)


def test_a_stream_with_many_gaps_says_so_once(tmp_path):
    pts = [frame + 10 * (frame // 4) for frame in range(80)]  # behind every fourth, ten are not there
    path = clips.write(tmp_path / "a.webm", 80, pts=pts, codec="libvpx-vp9")
    clip = open_clip(path)
    assert len(list(clip.frames(Chosen()))) == 80
    (sentence,) = clip.lacks.sentences()
    assert "between 0.12 s and 0.56 s" in sentence and "in 11 more places" in sentence
