"""Videos out: that they play in a browser, keep times and sound, and do not depend on their pieces."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.video import sound
from sapiens_mlx.video.choices import Chosen
from sapiens_mlx.video.read import open_clip
from sapiens_mlx.video.segments import Made, Parts
from sapiens_mlx.video.write import Encoder, even, join


def rewritten(path: Path, chosen: Chosen | None = None, length: int = 8) -> Path:
    """The chosen frames of a clip as a video of ours, by way of pieces of `length` frames."""
    clip, chosen = open_clip(path), chosen or Chosen()
    parts = Parts(path.parent / "parts", {}, length, resume=False)
    for frame in clip.frames(chosen):
        parts.add(Made(frame.pts, frame.duration * chosen.every, frame.rgb), clip.rate / chosen.every, clip.time_base)
    parts.close_piece()
    out = path.parent / "out.mp4"
    assert join(parts.pieces(), out, clip.time_base, clip.sound_path) == []
    parts.close(remove=True)
    return out


def top_boxes(path: Path) -> list[str]:
    """The names of the boxes that an MP4 file is made of, in their order."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        names.append(data[at + 4 : at + 8].decode("latin-1"))
        at += size
    return names


def times(path: Path) -> list[float]:
    return [time_s for time_s, _ in clips.decoded(path)]


def loudness(path: Path) -> np.ndarray:
    """The largest sample of every 20 ms."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler("flt", "mono", 48000)
        decoded = [one for frame in file.decode(audio=0) for one in resampler.resample(frame)]
    samples = np.concatenate([one.to_ndarray()[0] for one in decoded])
    return np.abs(samples[: len(samples) // 960 * 960]).reshape(-1, 960).max(axis=1)


@pytest.mark.parametrize("size_hw", [(96, 128), (97, 129), (96, 129), (37, 51)])
def test_a_video_plays_in_a_browser(tmp_path, size_hw):
    out = rewritten(clips.write(tmp_path / "a.mp4", size_hw=size_hw, pix_fmt="yuv444p"))
    boxes = top_boxes(out)
    assert boxes[0] == "ftyp" and boxes.index("moov") < boxes.index("mdat")
    with av.open(str(out)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.codec_tag, stream.pix_fmt) == ("h264", "avc1", "yuv420p")
        assert (stream.height, stream.width) == (size_hw[0] + size_hw[0] % 2, size_hw[1] + size_hw[1] % 2)
        assert stream.start_time == 0 and stream.frames == 24
        assert sum(packet.is_keyframe for packet in file.demux(stream) if packet.size) == 3


def test_odd_sides_are_padded_by_their_edge():
    picture = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    padded = even(picture)
    assert padded.shape == (4, 6, 3)
    np.testing.assert_array_equal(padded[:3, :5], picture)
    np.testing.assert_array_equal(padded[3, :5], picture[2])
    np.testing.assert_array_equal(padded[:3, 5], picture[:, 4])


def test_frames_look_as_they_did(tmp_path):
    source = clips.write(tmp_path / "a.mp4", size_hw=(720, 640))
    for (_, before), (_, after) in zip(clips.decoded(source), clips.decoded(rewritten(source)), strict=True):
        assert clips.number(before, (720, 640)) == clips.number(after, (720, 640))
    drawn = clips.frame_rgb(23, (720, 640)).astype(int)
    with av.open(str(tmp_path / "out.mp4")) as file:
        last = list(file.decode(video=0))[-1]
    assert last.colorspace == 1  # BT.709: said, not left to the player
    assert np.abs(last.to_ndarray(format="rgb24") - drawn).mean() < 4


@pytest.mark.parametrize(
    ("name", "pts", "time_base"),
    [
        ("constant.mp4", list(range(24)), Fraction(1, 25)),
        ("ntsc.mp4", [index * 1001 for index in range(24)], Fraction(1, 30000)),
        ("variable.mp4", [index * index * 10 for index in range(24)], Fraction(1, 600)),
        ("a pause.mp4", [*range(12), *range(300, 312)], Fraction(1, 30)),
        ("starts late.mp4", list(range(90, 114)), Fraction(1, 30)),
    ],
)
def test_times_are_kept(tmp_path, name: str, pts: Sequence[int], time_base: Fraction):
    source = clips.write(tmp_path / name, pts=pts, time_base=time_base)
    expected = [float((one - pts[0]) * time_base) for one in pts]
    assert times(rewritten(source)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.gif", "gif")])
def test_times_of_other_formats_are_kept(tmp_path, name, codec):
    source = clips.write(tmp_path / name, codec=codec, pix_fmt="rgb8" if codec == "gif" else "yuv420p")
    assert times(rewritten(source)) == pytest.approx([index / 25 for index in range(24)], abs=1e-4)


def test_every_third_frame_keeps_its_time_and_the_length(tmp_path):
    out = rewritten(clips.write(tmp_path / "a.mp4", 30), Chosen(6, 29, 3))
    decoded = clips.decoded(out)
    assert [clips.number(picture) for _, picture in decoded] == list(range(6, 30, 3))
    assert [time_s for time_s, _ in decoded] == pytest.approx([index * 3 / 25 for index in range(8)])
    with av.open(str(out)) as file:
        assert file.duration / av.time_base == pytest.approx(24 / 25)


def test_a_turned_clip_is_turned_for_good(tmp_path):
    out = rewritten(clips.write(tmp_path / "a.mov", rotation=90))
    with av.open(str(out)) as file:
        frame = next(file.decode(video=0))
    assert (frame.height, frame.width, frame.rotation) == (128, 96, 0)


def test_pieces_of_any_length_join_to_the_same_frames(tmp_path):
    source = clips.write(tmp_path / "a.mp4", 20)
    for length in (1, 7, 20, 100):
        decoded = clips.decoded(rewritten(source, length=length))
        assert [clips.number(picture) for _, picture in decoded] == list(range(20))
        assert [time_s for time_s, _ in decoded] == pytest.approx([index / 25 for index in range(20)])


# ---- sound ----------------------------------------------------------------------------------------------------------

SOUNDS = [
    ("a.mp4", "libx264", "aac", "aac"),
    ("a.mp4", "libx264", "libmp3lame", "mp3"),
    ("a.webm", "libvpx-vp9", "libopus", "opus"),
    ("a.mov", "libx264", "pcm_s16le", "aac"),
    ("a.mkv", "libx264", "flac", "aac"),
    ("a.avi", "mpeg4", "pcm_s16le", "aac"),  # which does not say what its channels are
    ("a.avi", "mpeg4", "adpcm_ima_wav", "aac"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codec", "audio", "expected"), SOUNDS)
@pytest.mark.parametrize(("first", "last"), [(0, None), (10, 39)])
def test_sound_goes_along_and_is_cut_to_the_frames(tmp_path, name, codec, audio, expected, first, last):
    out = rewritten(clips.write(tmp_path / name, 50, codec=codec, audio=audio), Chosen(first, last))
    start_s, end_s = first / 25, (50 if last is None else last + 1) / 25
    with av.open(str(out)) as file:
        stream = file.streams.audio[0]
        assert stream.codec_context.codec.canonical_name == expected
        assert float(stream.duration * stream.time_base) == pytest.approx(end_s - start_s, abs=0.05)
        assert file.streams.video[0].start_time == 0
    heard = loudness(out)
    # The tone grows from 0 to 0.5 in two seconds.
    assert heard[3:-3] == pytest.approx(0.25 * (start_s + 0.02 * np.arange(3, len(heard) - 3) + 0.01), abs=0.03)


def test_sound_that_was_copied_is_the_same_to_the_byte(tmp_path):
    source = clips.write(tmp_path / "a.mp4", 50, audio="aac")

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as file:
            return [bytes(packet) for packet in file.demux(audio=0) if packet.size]

    assert packets(rewritten(source)) == packets(source)


def test_a_clip_without_sound_stays_without(tmp_path):
    with av.open(str(rewritten(clips.write(tmp_path / "a.mp4")))) as file:
        assert not file.streams.audio


def test_sound_that_fails_costs_the_sound_alone(tmp_path, monkeypatch):
    def broken(*_):
        raise av.error.InvalidDataError(1, "broken")
        yield

    monkeypatch.setattr(sound, "_encoded", broken)
    source = clips.write(tmp_path / "a.mov", 20, audio="pcm_s16le")
    clip, parts = open_clip(source), Parts(tmp_path / "parts", {}, 20, resume=False)
    for frame in clip.frames(Chosen()):
        parts.add(Made(frame.pts, frame.duration, frame.rgb), clip.rate, clip.time_base)
    notices = join(parts.pieces(), tmp_path / "out.mp4", clip.time_base, clip.sound_path)
    parts.close(remove=True)
    assert "sound could not be taken along" in notices[0]
    assert len(clips.decoded(tmp_path / "out.mp4")) == 20


def test_frames_that_the_encoder_does_not_take_get_a_sentence():
    with pytest.raises(SapiensError, match="--longest-side"):
        Encoder((16, 16_400), Fraction(25), Fraction(1, 25))
