"""Videos out: H.264 that plays in a browser, first in closed pieces, then joined without encoding again."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from ..errors import SapiensError
from ..files import not_written, writing
from .sound import sound_for

QUALITY = {"crf": "20", "preset": "veryfast"}
# No frame is encoded after a later one: pieces then follow on one another whatever their times are, and the first frame
# is at 0 in every player.
IN_ORDER = {"bf": "0"}
TABLE_FIRST = {"movflags": "faststart"}
# x264 gives the same result for the same number of threads only.
THREADS = 4
MOST_SIDE_PX = 16_384  # libx264's
KEY_S = 2  # seconds between whole pictures, which a player can jump to
BT709, LIMITED = 1, 1


class Encoder:
    """One closed piece of video in memory: (H, W, 3) uint8 frames in, an MP4 file's bytes out.

    Odd sizes are padded by repeating the last row or column, since H.264 halves its colours.
    """

    def __init__(self, size_hw: tuple[int, int], rate: Fraction, time_base: Fraction) -> None:
        """Raises SapiensError for frames that the encoder does not take."""
        if max(size_hw) > MOST_SIDE_PX:
            raise SapiensError(
                f"A video of {size_hw[1]} x {size_hw[0]} pixels is larger than its encoder takes "
                f"({MOST_SIDE_PX} a side). Give a --longest-side of 4096 or less."
            )
        self._file = io.BytesIO()
        self._container = av.open(self._file, "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=rate, options=QUALITY | IN_ORDER)
        self._stream.height, self._stream.width = even_hw(size_hw)
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = self._time_base = time_base
        context.thread_count = THREADS
        context.gop_size = min(300, max(1, round(KEY_S * rate)))
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        self._reformatter = VideoReformatter()
        self._first_pts: int | None = None

    def add(self, rgb: np.ndarray, pts: int) -> None:
        """`pts` are units of the time base, above those of the frame before."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even(rgb)), format="rgb24")
        frame = self._reformatter.reformat(
            frame,
            format="yuv420p",
            dst_colorspace="ITU709",  # type: ignore[arg-type]  # it takes names too
            dst_color_range="MPEG",
            interpolation="BICUBIC",
        )
        if self._first_pts is None:
            self._first_pts = pts
        frame.pts, frame.time_base = pts - self._first_pts, self._time_base
        self._container.mux(self._stream.encode(frame))

    def finished(self) -> bytes:
        """The piece. Nothing can be added after it."""
        self._container.mux(self._stream.encode())
        self._container.close()
        return self._file.getvalue()


def even_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
    """The size with both sides even, at most 1 larger."""
    return size_hw[0] + size_hw[0] % 2, size_hw[1] + size_hw[1] % 2


def even(rgb: np.ndarray) -> np.ndarray:
    """The picture with its last row and column repeated where its sides are odd."""
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        rgb = cv2.copyMakeBorder(rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return rgb


@dataclass(frozen=True)
class Piece:
    """A piece on disk, and the times of its frames: `pts` in order, and when the last one `end`s."""

    path: Path
    pts: Sequence[int]
    end: int


def join(
    pieces: Iterable[Piece],
    path: Path,
    time_base: Fraction,
    sound_path: str | None = None,
) -> list[str]:
    """Writes the pieces one after another as the file `path`, whole or not at all. No picture is encoded again.

    The first frame is at 0. The file begins with its table of contents, so that a browser plays it while it loads.

    Args:
        sound_path: the file that the pieces were made from: its sound goes along, from the time of the first frame to
            the end of the last.

    Returns:
        Sentences about sound that could not be carried over.

    Raises:
        SapiensError: where it cannot be written.
    """
    pieces = list(pieces)
    start, end = pieces[0].pts[0], pieces[-1].end
    notices: list[str] = []
    try:
        with (
            writing(path) as partial,
            av.open(str(partial), "w", format="mp4", options=TABLE_FIRST) as file,
        ):
            with av.open(str(pieces[0].path)) as first:
                stream = file.add_stream_from_template(first.streams.video[0])
            stream.time_base = time_base
            begin_s, end_s = (float(pts * time_base) for pts in (start, end))
            with sound_for(file, sound_path, begin_s, end_s, notices) as sound:
                coming = next(sound, None)
                for pts, packet in _packets(pieces, time_base):
                    at_s = float((pts - start) * time_base)
                    while coming is not None and coming[0] <= at_s:
                        file.mux_one(coming[1])
                        coming = next(sound, None)
                    packet.pts = packet.dts = pts - start
                    packet.stream = stream
                    file.mux_one(packet)
                while coming is not None:
                    file.mux_one(coming[1])
                    coming = next(sound, None)
    except av.FFmpegError as problem:
        raise not_written(path, problem) from problem
    return notices


def _packets(pieces: Sequence[Piece], time_base: Fraction) -> Iterable[tuple[int, av.Packet]]:
    """The encoded frames of all pieces, each after the time it was made for."""
    for number, piece in enumerate(pieces):
        after = pieces[number + 1].pts[0] if number + 1 < len(pieces) else piece.end
        ends = [*piece.pts[1:], after]
        with av.open(str(piece.path)) as file:
            packets = (packet for packet in file.demux(video=0) if packet.size)
            for packet, pts, end in zip(packets, piece.pts, ends, strict=True):
                packet.duration = max(1, end - pts)
                packet.time_base = time_base
                yield pts, packet
