"""What the tab Live says: the way in, how the camera is doing, and what is in the way of it."""

from html import escape

from ... import zoo
from .. import words

SHOWS = (
    ("The newest frame", "one at a time: while it is worked on, later ones replace each other"),
    ("Most tasks", "change it while the camera is on; people are boxed, coloured, or turned into metres"),
    ("Nothing is kept", "frames go to the machine that serves this page, are drawn, and are forgotten"),
)
ON_CPU = "Here the models run on a processor, where only the demo size keeps up with a camera. Larger sizes: Studio."

CAMERA_PROBLEMS = {
    "NotAllowedError": "The browser does not let this page use the camera. Allow it beside the address of the page, "
    "then press Start.",
    "NotFoundError": "There is no camera on this device. Connect one and press Start, or use a photo in the Studio.",
    "NotReadableError": "Another program is using the camera. Close that one, then press Start.",
    "insecure": "Browsers give the camera only to pages that come by https or from this computer itself (localhost). "
    "Open the page in one of these ways.",
    "timeout": "The camera did not open. Reload the page, then press Start.",
}


def empty() -> str:
    """What stands where the live picture will be."""
    steps = ("Choose what to see", "Press Start", "Allow the camera")
    return words.empty_page("The live picture appears here", steps, words.shows(SHOWS), False)


def about(task: str, size: str, level: str, larger: bool, warning: str = "") -> str:
    """What is about to be run. `larger` is whether this machine has more than the demo size; `warning` says that it
    does not fit the memory."""
    only = "" if larger else f'<div class="choice live-sizes"><p>{ON_CPU}</p></div>'
    return words.asides([warning]) + words.choice([task], size, level) + only


def opening() -> str:
    return _running("Opening the camera", "", 1)


def running(frames_per_s: float | None, left_s: float, limit_s: float) -> str:
    """Frames a second, None before that can be told, and the time that is left, in words and as a bar."""
    rate = "First frame" if frames_per_s is None else f"{_rate(frames_per_s)} frames a second"
    return _running(rate, f"stops in {_clock(left_s)}", left_s / limit_s)


def _running(what: str, more: str, share: float) -> str:
    """Not read out at every frame, as a status would be."""
    return (
        f'<div class="status working live"><p role="timer" aria-live="off"><b><i class="dot"></i>{escape(what)}</b>'
        f'<span>{escape(more)}</span></p><div class="bar"><i style="width:{100 * share:.1f}%"></i></div></div>'
    )


def ended(limit_s: float) -> str:
    """After the time limit."""
    return words.line("The camera is off", f"It was on for {_limit(limit_s)}. Press Start to go on.", "stopped")


def stopped() -> str:
    return words.line("The camera is off", "Press Start to go on.", "stopped")


def full(most: int) -> str:
    """No place for one more camera."""
    return words.notice(
        f"{most} visitors have their camera on, which is as many as this page serves at once. "
        "Each stops by itself within minutes: press Start again then.",
        "All places are taken",
    )


def camera_problem(name: str) -> str:
    """For the name of an error of the browser, or of camera_open.js."""
    sentence = CAMERA_PROBLEMS.get(
        name, f"The browser cannot use the camera ({name}). Check it in another program, then press Start."
    )
    return words.notice(sentence, "There is no picture from the camera")


def picture(address: str, width: int, height: int, task: str, found: str) -> str:
    """The live picture, and what is in it."""
    title = zoo.task_row(task).title
    caption = " · ".join(filter(None, (title, found)))
    return newest(address, width, height, f"{title} of the newest frame of the camera", caption)


def newest(address: str, width: int, height: int, alt: str, caption: str) -> str:
    """The newest frame, of a camera or of a clip under way, `address` being a data URL: decoded before it is shown, so
    that nothing flickers."""
    return (
        f'<figure class="live-picture"><img src="{address}" width="{width}" height="{height}" decoding="sync" '
        f'alt="{escape(alt)}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _rate(frames_per_s: float) -> str:
    return f"{frames_per_s:.1f}" if frames_per_s < 9.95 else f"{frames_per_s:.0f}"


def _clock(seconds: float) -> str:
    """ "1:05"."""
    minutes, rest = divmod(max(0, int(seconds + 0.999)), 60)
    return f"{minutes}:{rest:02}"


def _limit(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} minutes" if minutes > 1 and not rest else words.duration(seconds)
