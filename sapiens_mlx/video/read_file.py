"""Video files by PyAV: upright 8-bit RGB whatever is inside, times as the file has them, and what could not be read.

Which frames are missing is told by their times: every packet of a video says when its frame is to be shown, so a frame
that comes out after one that never did has its right number.
"""

import heapq
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ..errors import ClipError
from .frames import Chosen, Frame, Lacks, add_to, check_size, fitted_hw, turned

# Formats that hold a video themselves. Playlists, which name other files and addresses, are not among them.
FORMATS = (
    "mov",
    "mp4",
    "m4a",
    "3gp",
    "3g2",
    "mj2",
    "matroska",
    "webm",
    "gif",
    "avi",
    "mpegts",
    "mpeg",
    "asf",
    "flv",
    "ogg",
)
OPENING = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
USUAL_RATE = Fraction(25)
HD_ROWS = 720  # from this height on, a file that does not say so has the colours of HD
UNSAID = 2  # a frame's colour space, where the file is silent
LONG_GAP = 5  # frames' worth of nothing, in a format whose frames have no numbers


class FileClip:
    """A video file, as frames.Clip says."""

    is_live = False

    def __init__(self, path: Path, longest_px: int | None) -> None:
        self.name, self._path, self._longest_px = path.name, path, longest_px
        self.lacks = Lacks()
        with self._opened() as container:
            stream = _video_stream(container, self.name)
            decoder = Decoder(container, stream)
            first = next(iter(decoder), None)
            if first is None:
                raise ClipError(
                    f"Not one frame of {self.name} can be decoded. It is empty, damaged, or of a kind that is not "
                    "known here: copy it again, or convert it to MP4."
                )
            self.look = Look(first[1], stream, longest_px)
            self.size_hw = self.look.size_hw
            check_size(self.name, self.size_hw)
            self.time_base = stream.time_base or Fraction(1, 90_000)
            self.rate = rate_of(stream)
            self.total = _total(container, stream, self.rate)
            self._start = first[2] if stream.start_time is None else stream.start_time
            self.sound_path = str(path) if container.streams.audio else None

    def frames(self, chosen: Chosen, skip: int = 0) -> Iterator[Frame]:
        """As frames.Clip says."""
        self.lacks = Lacks()
        with self._opened() as container:
            stream = _video_stream(container, self.name)
            decoder = Decoder(container, stream, self.lacks)
            index = -1
            for index, frame, pts, duration in decoder:
                if chosen.is_past(index):
                    break
                if not chosen.takes(index):
                    continue
                if skip:
                    skip -= 1
                    continue
                yield Frame(index, float((pts - self._start) * self.time_base), pts, duration, self.look.rgb(frame))
            else:
                decoder.note_end(self.name, self._path)
        cut_missing(self.lacks, chosen)
        if index < chosen.first:
            raise ClipError(
                f"{self.name} has {index + 1} frames, 0 to {index}: frame {chosen.first} is not among them. "
                "Choose an earlier first frame."
            )

    def close(self) -> None:
        """Nothing stays open."""

    def _opened(self) -> av.container.InputContainer:
        try:
            # "file:", or a name with a colon in it would be taken for an address.
            return av.open(f"file:{self._path}", options=OPENING, metadata_errors="ignore")
        except (av.FFmpegError, ValueError) as problem:
            raise ClipError(
                f"{self.name} is not a video that can be read, or it is damaged or was not finished. "
                "Copy it again, or choose an MP4, MOV, WebM or GIF file."
            ) from problem


class Look:
    """How decoded frames become upright RGB of one size: colours, square pixels, the longest side, the turn."""

    def __init__(self, frame: av.VideoFrame, stream: av.VideoStream, longest_px: int | None) -> None:
        aspect = stream.sample_aspect_ratio or Fraction(1)
        width = max(1, round(frame.width * aspect)) if Fraction(1, 8) <= aspect <= 8 else frame.width
        self._scaled_hw = fitted_hw((frame.height, width), longest_px)
        self._turn = turn_of(frame)
        self.size_hw = self._scaled_hw[::-1] if self._turn[0] else self._scaled_hw
        self._reformatter = VideoReformatter()

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8. A frame of another size than the first, which some formats allow, is made equal to it."""
        height, width = self._scaled_hw
        smaller = height < frame.height or width < frame.width
        see_through = has_alpha(frame.format)
        colours = None if frame.colorspace != UNSAID else "ITU709" if frame.height >= HD_ROWS else "ITU601"
        made = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgba" if see_through else "rgb24",
            src_colorspace=colours,
            interpolation="AREA" if smaller else "BICUBIC",
        ).to_ndarray()
        return turned(over_white(made) if see_through else made, self._turn)


def has_alpha(pixels: av.VideoFormat) -> bool:
    """Whether frames in this format may be transparent."""
    return len(pixels.components) == 4 or pixels.name == "pal8"


def over_white(rgba: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 as (H, W, 3) over white, as a browser shows a photo."""
    if rgba[..., 3].min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    weight = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)


def turn_of(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """What frames.turned() needs, from the display matrix: a point (x, y) is shown at (a x + c y, b x + d y)."""
    data = next((one for one in frame.side_data if one.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(b) > abs(a):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def rate_of(stream: av.VideoStream) -> Fraction:
    """Frames a second, on average."""
    rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
    return rate if 0 < rate <= 1000 else USUAL_RATE


def _video_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The stream that is the video: no cover of an album."""
    cover = av.stream.Disposition.attached_pic
    streams = [one for one in container.streams.video if not one.disposition & cover]
    if not streams:
        kind = "sound, but no video" if container.streams.audio else "no video"
        raise ClipError(f"{name} holds {kind}. Choose a file with moving pictures.")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise ClipError(f"The video in {name} is of a kind that is not known here. Convert it to MP4 (H.264) first.")
    stream.thread_type = "AUTO"
    return stream


def _total(container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction) -> int | None:
    """How many frames there will be: counted by the container, or else by its duration."""
    if container.format.name.startswith("mov") and len(stream.index_entries):
        return sum(not entry.is_discard for entry in stream.index_entries)
    if stream.frames:
        return stream.frames
    duration_s = (
        stream.duration * stream.time_base if stream.duration else Fraction(container.duration or 0, av.time_base)
    )
    return round(duration_s * rate) or None


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
        self._in_doubt = self._broken = False
        self._step = max(1, round(1 / rate_of(stream) / (stream.time_base or Fraction(1, 90_000))))

    def __iter__(self) -> Iterator[tuple[int, av.VideoFrame, int, int]]:
        for packet in self._read():
            if packet is not None and packet.size:
                self._packets += 1
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
                yield self._numbered(frame)
        if self._broken or self._index >= 0:
            for _ in self._due:
                self._miss()

    def _read(self) -> Iterator[av.Packet | None]:
        """The packets, and None at the end, on which the decoder gives what it holds back."""
        packets, failures = self._container.demux(self._stream), 0
        while failures < 100:
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
            if pts > self._last_pts + LONG_GAP * self._step and self._container.format.name.startswith("matroska"):
                tick = self._stream.time_base
                begin, end = float(self._last_pts * tick), float(pts * tick)
                self._lacks.note(f"There are no frames between {begin:.2f} s and {end:.2f} s of the file.")
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
                if rest > 1024 or file.read(1) != b";":
                    self._lacks.note(
                        f"{name} is damaged or cut off after frame {self._index}: the rest cannot be read."
                    )
        elif self._container.duration and self._last_pts is not None:
            end_s = float((self._last_pts + self._step) * self._stream.time_base)
            whole_s = self._container.duration / av.time_base
            if end_s + max(LONG_GAP * self._step * float(self._stream.time_base), 0.02 * whole_s) < whole_s:
                self._lacks.note(
                    f"The frames of {name} end at {end_s:.2f} s, and it should last {whole_s:.2f} s: "
                    "it is damaged or cut off, or only its sound goes on."
                )


def _is_hidden(packet: av.Packet, stream: av.VideoStream) -> bool:
    """Whether a packet of VP8 holds a picture that is only looked back at, and never shown."""
    return stream.codec_context.name == "vp8" and not bytes(memoryview(packet)[:1])[0] & 0x10


def cut_missing(lacks: Lacks, chosen: Chosen) -> None:
    """Leaves only runs within the chosen range."""
    for name in ("missing", "doubtful"):
        last = float("inf") if chosen.last is None else chosen.last
        runs = [(max(a, chosen.first), min(b, last)) for a, b in getattr(lacks, name)]
        setattr(lacks, name, [(a, b) for a, b in runs if a <= b])
