"""Video files by PyAV: upright 8-bit RGB whatever is inside, times as the file has them."""

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorTrc, VideoReformatter

from ..errors import ClipError
from .choices import Chosen
from .decode import Decoder, rate_of
from .frames import Frame, Lacks, check_size, fitted_hw, time_base_of, turned

# Formats that hold a video themselves. Playlists, which name other files and addresses, are not among them.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif,avi,mpegts,mpeg,asf,flv,ogg"
OPENING = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
HD_ROWS = 720  # from this height on, a file that does not say so has the colours of HD
PQ = int(ColorTrc.SMPTE2084)
UNSAID = 2  # a frame's colour space, where the file is silent


class FileClip:
    """A video file, as frames.Clip says."""

    is_live = False

    def __init__(self, path: Path, longest_px: int | None) -> None:
        self.name, self._path = path.name, path
        self.lacks = Lacks()
        with self._opened() as container:
            stream = _video_stream(container, self.name)
            said_hw = stream.codec_context.height, stream.codec_context.width
            if min(said_hw) > 0:
                check_size(self.name, said_hw)  # before a frame of it is made
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
            self._is_pq = first[1].color_trc == PQ
            self._start = first[2] if stream.start_time is None else stream.start_time
            self.sound_path = str(path) if container.streams.audio else None

    def frames(self, chosen: Chosen, skip: int = 0) -> Generator[Frame, None, None]:
        """As frames.Clip says."""
        self.lacks = Lacks()
        if self._is_pq:
            self.lacks.note(f"{self.name} is HDR10: its colours are taken as they are, and look flat.")
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
            return opened(self._path)
        except (av.FFmpegError, ValueError) as problem:
            raise ClipError(
                f"{self.name} is not a video that can be read, or it is damaged or was not finished. "
                "Copy it again, or choose an MP4, MOV, WebM or GIF file."
            ) from problem


def opened(path: Path | str) -> av.container.InputContainer:
    """The file, open for reading. Raises what PyAV raises."""
    # "file:", or a name with a colon in it would be taken for an address.
    return av.open(f"file:{path}", options=OPENING, metadata_errors="ignore")


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
            src_colorspace=colours,  # type: ignore[arg-type]  # it takes names too
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
    found: Any = frame.side_data  # annotated as one of the many it holds
    data = next((one for one in found if one.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(b) > abs(a):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


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
        stream.duration * time_base_of(stream) if stream.duration else Fraction(container.duration or 0, av.time_base)
    )
    return round(duration_s * rate) or None


def cut_missing(lacks: Lacks, chosen: Chosen) -> None:
    """Leaves only runs within the chosen range."""
    for name in ("missing", "doubtful"):
        last = float("inf") if chosen.last is None else chosen.last
        runs = [(max(a, chosen.first), min(b, last)) for a, b in getattr(lacks, name)]
        setattr(lacks, name, [(a, b) for a, b in runs if a <= b])
