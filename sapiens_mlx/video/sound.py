"""The sound of a clip for the video made of it: packets as they are where MP4 carries them, else encoded as AAC."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any

import av

from .frames import time_base_of
from .read_file import opened

COPIED = frozenset(("aac", "mp3", "mp3float", "opus", "libopus"))  # what browsers play from an MP4
BITS_A_CHANNEL = 96_000
SEEK_S = 10.0  # what lies so far before the beginning is not read through

Timed = tuple[float, av.Packet]  # seconds from the video's first frame


@contextmanager
def sound_for(
    output: av.container.OutputContainer, path: str | None, start_s: float, end_s: float, notices: list[str]
) -> Iterator[Iterator[Timed]]:
    """Packets of the best sound of the file `path` between two of its times, for a new stream of `output`.

    None at all where there is no sound, or it cannot be read; `notices` then gets a sentence.
    """
    if path is None:
        yield iter(())
        return
    with opened(path) as file:
        stream: Any = file.streams.best("audio") or file.streams.audio[0]
        if stream.codec_context is None:
            notices.append("The sound is of a kind that is not known here, and was left out.")
            yield iter(())
            return
        if start_s > SEEK_S:
            with suppress(av.FFmpegError):
                file.seek(int((start_s - 1) / stream.time_base), stream=stream)
        copied = stream.codec_context.name in COPIED
        take = _copied if copied else _encoded
        yield _as_far_as_it_goes(take(output, file, stream, start_s, end_s, notices), notices)


def _as_far_as_it_goes(packets: Iterator[Timed], notices: list[str]) -> Iterator[Timed]:
    """The pictures are worth more than the sound: what is wrong with it ends it alone."""
    try:
        yield from packets
    except (av.FFmpegError, ValueError) as problem:
        notices.append(f"The sound could not be taken along ({getattr(problem, 'strerror', None) or problem}).")


def _read(file: av.container.InputContainer, stream: av.AudioStream, notices: list[str]) -> Iterator[av.Packet]:
    try:
        yield from file.demux(stream)
    except av.FFmpegError:
        notices.append("The sound is damaged, and ends early.")


def _copied(
    output: av.container.OutputContainer,
    file: av.container.InputContainer,
    stream: av.AudioStream,
    start_s: float,
    end_s: float,
    notices: list[str],
) -> Iterator[Timed]:
    made = output.add_stream_from_template(stream)
    origin = round(start_s / time_base_of(stream))

    def packets() -> Iterator[Timed]:
        last = None
        for packet in _read(file, stream, notices):
            if packet.pts is None or not packet.size:
                continue
            at_s = float(packet.pts * time_base_of(stream))
            if at_s >= end_s:
                return
            # One packet before the beginning goes along unheard: a decoder needs it for the one after.
            if at_s + 2 * float((packet.duration or 0) * time_base_of(stream)) <= start_s:
                continue
            packet.pts -= origin
            if last is not None and packet.pts <= last:  # a fault of the file that MP4 does not forgive
                continue
            packet.dts = last = packet.pts
            packet.stream = made
            yield at_s - start_s, packet

    return packets()


def _encoded(
    output: av.container.OutputContainer,
    file: av.container.InputContainer,
    stream: av.AudioStream,
    start_s: float,
    end_s: float,
    notices: list[str],
) -> Iterator[Timed]:
    context = stream.codec_context
    rate = context.sample_rate if context.sample_rate in AAC_RATES else 48_000
    layout = {1: "mono", 2: "stereo"}.get(context.channels, "stereo")
    made = output.add_stream("aac", rate=rate, layout=layout)
    made.bit_rate = BITS_A_CHANNEL * made.codec_context.channels

    def frames() -> Iterator[av.AudioFrame]:
        """Cut to the sample, and counted from `start_s`."""
        resampler = av.AudioResampler("fltp", layout, rate)
        for packet in _read(file, stream, notices):
            try:
                decoded: list[Any] = packet.decode()
            except av.FFmpegError:
                continue
            for frame in decoded:
                for even in resampler.resample(frame):
                    if even.pts is None:
                        continue
                    first = round((even.pts * time_base_of(even) - Fraction(start_s)) * rate)
                    left, right = max(0, -first), min(even.samples, round((end_s - start_s) * rate) - first)
                    if right <= 0:
                        return
                    if left >= right:
                        continue
                    samples = even.to_ndarray()[:, left:right].copy()
                    cut = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
                    cut.sample_rate, cut.time_base, cut.pts = rate, Fraction(1, rate), first + left
                    yield cut

    def packets() -> Iterator[Timed]:
        for frame in frames():
            yield from map(_timed, made.encode(frame))
        yield from map(_timed, made.encode())

    return packets()


def _timed(packet: Any) -> Timed:
    """What an encoder gives always has its time."""
    return float(packet.pts * packet.time_base), packet


AAC_RATES = frozenset((8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000))
