"""A camera by its number, by PyAV: Video4Linux on Linux, AVFoundation on a Mac."""

import itertools
import sys
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av

from ..errors import ClipError
from .choices import Chosen
from .decode import rate_of
from .frames import Frame, Lacks
from .read_file import Look

PATIENCE_S = 10.0  # for a first frame: a camera has to wake up


class CameraClip:
    """A camera, as frames.Clip says: it has no end, and is read once."""

    is_live = True
    sound_path: str | None = None
    total: int | None = None

    def __init__(self, number: int, longest_px: int | None) -> None:
        self.name = f"camera {number}"
        self.lacks = Lacks()
        self._container = _opened(number)
        try:
            self._stream = self._container.streams.video[0]
            self._decoded = self._decode()
            first = next(self._decoded, None)
        except BaseException:
            self._container.close()
            raise
        if first is None:
            self._container.close()
            raise ClipError(f"Camera {number} gives no pictures. Is another program using it?")
        self._first, self._start = first, first.pts or 0
        self._look = Look(first, self._stream, longest_px)
        self.size_hw = self._look.size_hw
        self.time_base = self._stream.time_base or Fraction(1, 1_000_000)
        self.rate = rate_of(self._stream)

    def frames(self, chosen: Chosen, skip: int = 0) -> Generator[Frame, None, None]:
        """As frames.Clip says; `skip` means nothing here. What comes while nobody asks for frames is lost: they are
        not kept, and their times tell."""
        step, last = max(1, round(1 / self.rate / self.time_base)), -1
        for index, frame in enumerate(itertools.chain([self._first], self._decoded)):
            if chosen.is_past(index):
                return
            if chosen.takes(index):
                pts = max(last + 1, last + step if frame.pts is None else frame.pts - self._start)
                last = pts
                yield Frame(index, float(pts * self.time_base), pts, step, self._look.rgb(frame))

    def close(self) -> None:
        """Turns the camera off."""
        self._container.close()

    def _decode(self) -> Iterator[av.VideoFrame]:
        patient_until, packets = time.monotonic() + PATIENCE_S, self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.BlockingIOError:  # AVFoundation has no frame ready
                if time.monotonic() > patient_until:
                    return
                time.sleep(0.005)
                packets = self._container.demux(self._stream)
                continue
            except av.FFmpegError:  # unplugged, or a damaged frame
                if time.monotonic() > patient_until:
                    return
                continue
            if frames:
                patient_until = time.monotonic() + PATIENCE_S
            yield from frames


def _opened(number: int) -> av.container.InputContainer:
    options: dict[str, str] = {}
    if sys.platform == "linux":
        name, kind = f"/dev/video{number}", "v4l2"
        if not Path(name).exists():
            raise ClipError(f"There is no camera {number} here ({name}), nor a file of that name. Plug one in.")
    elif sys.platform == "darwin":
        name, kind, options = str(number), "avfoundation", {"framerate": "30", "pixel_format": "uyvy422"}
    else:
        raise ClipError("Cameras can be read on macOS and Linux only. Record a video and give its name.")
    try:
        return av.open(name, format=kind, options=options)
    except (av.FFmpegError, ValueError) as problem:
        raise ClipError(
            f"Camera {number} cannot be opened ({problem}). Is it in use, and may this program use the camera?"
        ) from problem
