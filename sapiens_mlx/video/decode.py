"""The frames of a stream by PyAV in the order they are shown, with their numbers, and which of them are missing.

That is told by their times: every packet of a video says when its frame is to be shown, so a frame that comes out after
one that never did has its right number.
"""

import heapq
import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av

from .frames import Lacks, add_to, time_base_of

USUAL_RATE = Fraction(25)
LONG_GAP = 5  # frames' worth of nothing
MOST_FAILURES = 100  # of reading on, before the rest of a file is given up


class Decoder:
    """(index, frame, pts, duration) of every frame that can be decoded, in the order they are shown; pts grow."""

    def __init__(
        self, container: av.container.InputContainer, stream: av.VideoStream, lacks: Lacks | None = None
    ) -> None:
        self._container, self._stream = container, stream
        self._lacks = lacks or Lacks()
        self._due: list[int] = []  # times of packets whose frames have not come out; a heap
        self._packets = 0
        self._index = -1
        self._last_pts: int | None = None
        self._last_packet: tuple[int, int] = (0, 0)  # where it lies in the file, how large
        self._largest = 0  # of the packets before
        self._in_doubt = self._broken = False
        self._step = max(1, round(1 / rate_of(stream) / (stream.time_base or Fraction(1, 90_000))))

    def __iter__(self) -> Iterator[tuple[int, av.VideoFrame, int, int]]:
        for packet in self._read():
            if packet is not None and packet.size:
                self._packets += 1
                self._largest = max(self._largest, self._last_packet[1])
                self._last_packet = packet.pos or 0, packet.size
                self._broken |= packet.is_corrupt
                if packet.pts is not None and not packet.is_discard and not _is_hidden(packet, self._stream):
                    heapq.heappush(self._due, packet.pts)
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError:  # what is lost shows in the times
                self._broken = True
                continue
            for frame in frames:
                if not self._is_late(frame):
                    yield self._numbered(frame)
        if self._broken or self._index >= 0:
            for _ in self._due:
                self._miss()

    def _read(self) -> Iterator[av.Packet | None]:
        """The packets, and None at the end, on which the decoder gives what it holds back."""
        packets, failures = self._container.demux(self._stream), 0
        while failures < MOST_FAILURES:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # some formats find their way again
                self._broken = True
                failures += 1
                packets = self._container.demux(self._stream)
                continue
            if packet is None:
                return
            yield packet
        yield None

    def _is_late(self, frame: av.VideoFrame) -> bool:
        """Whether a frame comes after others that are to be shown later, as happens behind damage: it counts as missing
        by then."""
        pts, last = frame.pts, self._last_pts
        return self._broken and pts is not None and last is not None and pts <= last

    def _numbered(self, frame: av.VideoFrame) -> tuple[int, av.VideoFrame, int, int]:
        pts = frame.pts
        if pts is None:
            pts = 0 if self._last_pts is None else self._last_pts + self._step
        while self._due and self._due[0] < pts:
            heapq.heappop(self._due)
            if self._index >= 0 or self._broken:  # what leads to a first whole picture is no loss
                self._miss()
        if self._due and self._due[0] == pts:
            heapq.heappop(self._due)
        self._index += 1
        self._in_doubt = (self._in_doubt or frame.is_corrupt) and not (frame.key_frame and not frame.is_corrupt)
        if self._in_doubt:
            add_to(self._lacks.doubtful, self._index)
        if self._last_pts is not None:
            usual = (
                1.5 if self._broken else LONG_GAP if self._container.format.name.startswith("matroska") else math.inf
            )
            if pts > self._last_pts + usual * self._step:
                tick = time_base_of(self._stream)
                self._lacks.gaps_s.append((float(self._last_pts * tick), float(pts * tick)))
            pts = max(pts, self._last_pts + 1)
        self._last_pts = pts
        return self._index, frame, pts, frame.duration or self._step

    def _miss(self) -> None:
        self._index += 1
        self._in_doubt = True
        add_to(self._lacks.missing, self._index)

    def note_end(self, name: str, path: Path) -> None:
        """Once all is read: says in `lacks` what the file should have had after that."""
        kind = self._container.format.name
        if kind.startswith("mov"):
            for _ in range(len(self._stream.index_entries) - self._packets):
                self._miss()
        elif kind == "gif":
            with suppress(OSError), path.open("rb") as file:
                rest = file.seek(0, 2) - sum(self._last_packet)
                file.seek(-1, 2)
                swallowed = self._packets > 2 and self._last_packet[1] > max(1 << 16, 4 * self._largest)
                if rest > 1024 or swallowed or file.read(1) != b";":
                    self._lacks.note(
                        f"{name} is damaged or cut off after frame {self._index}: the rest cannot be read."
                    )
        elif self._container.duration and self._last_pts is not None:
            end_s = float((self._last_pts + self._step) * time_base_of(self._stream))
            whole_s = self._container.duration / av.time_base
            step_s = self._step * float(time_base_of(self._stream))
            if end_s + (1.5 * step_s if self._broken else max(LONG_GAP * step_s, 0.02 * whole_s)) < whole_s:
                self._lacks.note(
                    f"The frames of {name} end at {end_s:.2f} s, and it should last {whole_s:.2f} s: "
                    "it is damaged or cut off, or only its sound goes on."
                )
        if self._broken and not (self._lacks.missing or self._lacks.gaps_s or self._lacks.notices):
            self._lacks.note(f"{name} is damaged: some of its frames may be missing.")


def _is_hidden(packet: av.Packet, stream: av.VideoStream) -> bool:
    """Whether a packet of VP8 holds a picture that is only looked back at, and never shown."""
    return stream.codec_context.name == "vp8" and not bytes(memoryview(packet)[:1])[0] & 0x10


def rate_of(stream: av.VideoStream) -> Fraction:
    """Frames a second, on average."""
    rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
    return rate if 0 < rate <= 1000 else USUAL_RATE
