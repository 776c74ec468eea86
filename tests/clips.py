"""Small clips for tests, made with PyAV: a bright square that moves over grey, one step a frame, its number in a strip.

Every frame says which one it is: number() reads it back from the pixels, however they were encoded since.
"""

import sapiens_mlx  # noqa: F401  isort: skip

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS = 10
SQUARE = (250, 180, 20)


def frame_rgb(index: int, size_hw: tuple[int, int] = (96, 128)) -> np.ndarray:
    """Frame `index` as (H, W, 3) uint8: its number as dark and light fields along the top, a square on its way."""
    height, width = size_hw
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[:, : width // 2, 2] = 140
    field = width // BITS
    for bit in range(BITS):
        picture[: height // 4, bit * field : (bit + 1) * field] = 230 if index >> bit & 1 else 20
    side = height // 4
    left = (index * 4) % (width - side)
    picture[height // 2 : height // 2 + side, left : left + side] = SQUARE
    return picture


def noisy(index: int, size_hw: tuple[int, int]) -> np.ndarray:
    """Frames that take many bytes, so that damage hits their pictures."""
    picture = frame_rgb(index, size_hw)
    noise = np.random.default_rng(index)
    picture[size_hw[0] // 2 :] = noise.integers(0, 255, (size_hw[0] - size_hw[0] // 2, size_hw[1], 3))
    return picture


def number(picture_rgb: np.ndarray, size_hw: tuple[int, int] = (96, 128)) -> int:
    """The number that frame_rgb() wrote into a frame of this size, read from its top left corner."""
    height, width = size_hw
    field = width // BITS
    middles = [
        picture_rgb[height // 16 : height // 6, bit * field + field // 4 : (bit + 1) * field - field // 4]
        for bit in range(BITS)
    ]
    return sum(1 << bit for bit, place in enumerate(middles) if place.mean() > 125)


def write(
    path: Path,
    count: int = 24,
    *,
    size_hw: tuple[int, int] = (96, 128),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: float | None = None,
    mirrored: bool = False,
    audio: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    draw: Callable[[int, tuple[int, int]], np.ndarray] = frame_rgb,
    **settings: Any,
) -> Path:
    """A clip of `count` frames at `path`, whose ending says the container.

    Args:
        pts: when each frame is shown, in `time_base`; by default one every 1 / `rate` seconds.
        rotation: degrees by which a player has to turn it, counterclockwise; `mirrored`: and to mirror it.
        audio: the codec of a tone as long as the clip.
        settings: attributes of the video stream.
    """
    with av.open(str(path), "w", options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = size_hw
        stream.pix_fmt = pix_fmt
        if time_base is not None:
            stream.codec_context.time_base = time_base
        for name, value in settings.items():
            setattr(stream, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirrored)
        sound = None if audio is None else output.add_stream(audio, rate=48000, layout="mono")
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(draw(index, size_hw)), format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace="itu709" if size_hw[0] >= 720 else "itu601")
            frame.pts = index if pts is None else pts[index]
            frame.time_base = time_base or Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if sound is not None:
            for frame in tone(count / rate, sound.codec_context.format.name):
                output.mux(sound.encode(frame))
            output.mux(sound.encode())
    return path


def tone(seconds: float, sample_format: str, rate: int = 48000):
    """Frames of a tone of 440 Hz that grows louder: where it is cut can be heard, and measured."""
    samples = np.arange(int(seconds * rate))
    wave = (0.5 * samples / len(samples) * np.sin(2 * np.pi * 440 * samples / rate)).astype(np.float32)
    resampler = av.AudioResampler(sample_format, "mono", rate)
    for start in range(0, len(wave), 960):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 960], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield from resampler.resample(frame)


def decoded(path: Path) -> list[tuple[float, np.ndarray]]:
    """Every frame of a file as PyAV shows it: seconds, (H, W, 3) uint8. Nothing of ours takes part."""
    with av.open(str(path)) as clip:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in clip.decode(video=0)]
