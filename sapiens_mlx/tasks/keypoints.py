"""The 308 keypoints (Sociopticon layout) as a table: names, left-right partners, links, colours, and groups of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import SapiensError

# Which keypoint belongs where, by index. Each wrist counts to its hand.
GROUPS = {
    "body": (*range(15), *range(63, 70)),
    "feet": tuple(range(15, 21)),
    "right_hand": tuple(range(21, 42)),
    "left_hand": tuple(range(42, 63)),
    "face": tuple(range(70, 308)),
}
WRISTS = (41, 62)  # joints of the body too: arms end and hands begin there
WORDS = {"l": "left", "r": "right", "center": "centre", "centerpoint": "centre point"}  # for people


@dataclass(frozen=True)
class Keypoints:
    """`flip_indices` (308,) holds each keypoint's partner in a mirrored photo (itself on the middle line), `links` the
    (65, 2) pairs of indices that a skeleton joins, `groups` (308,) the name of each keypoint's group; the colours
    (308, 3) and (65, 3), uint8 RGB, are those of the reference's pictures."""

    names: tuple[str, ...]
    flip_indices: np.ndarray
    links: np.ndarray
    groups: np.ndarray
    colours: np.ndarray
    link_colours: np.ndarray


@cache
def keypoints() -> Keypoints:
    """The table, read once from data/keypoints308.json."""
    table = json.loads((Path(__file__).parent / "data/keypoints308.json").read_text(encoding="utf-8"))
    names = tuple(table["names"])
    flip_indices = np.arange(len(names))
    pairs = np.array(table["flip_pairs"])
    flip_indices[pairs] = pairs[:, ::-1]
    groups = np.empty(len(names), dtype="<U10")
    for group, members in GROUPS.items():
        groups[list(members)] = group
    return Keypoints(
        names=names,
        flip_indices=flip_indices,
        links=np.array(table["links"]),
        groups=groups,
        colours=_rgb(table["colours"]),
        link_colours=_rgb(table["link_colours"]),
    )


def _rgb(hexadecimal: list[str]) -> np.ndarray:
    return np.array([list(bytes.fromhex(colour)) for colour in hexadecimal], np.uint8)


def in_groups(groups: Sequence[str] | None) -> np.ndarray:
    """(308,) bool: which keypoints belong to one of GROUPS by name; all for None. The wrists belong to the body too.

    Raises:
        SapiensError: for a name that is no group.
    """
    if groups is None:
        return np.ones(len(keypoints().names), bool)
    for group in groups:
        if group not in GROUPS:
            raise SapiensError(f"There is no group of keypoints {group!r}. Choose of: {', '.join(GROUPS)}.")
    wanted = np.isin(keypoints().groups, list(groups))
    wanted[list(WRISTS)] |= "body" in groups
    return wanted


def readable_name(index: int) -> str:
    """A keypoint's name for people: "Left thumb 4 (tip)" for left_thumb4. Left and right are the person's own."""
    parts = []
    for word in keypoints().names[index].split("_"):
        stem = word.rstrip("0123456789")
        parts += [WORDS.get(stem, stem), word[len(stem) :]]
    text = " ".join(part for part in parts if part)
    if "border" in text and "midpoint" not in text:
        text += " o'clock"
    elif text.endswith(" 4") and keypoints().groups[index] != "face":
        text += " (tip)"
    return text[0].upper() + text[1:]
