"""What INPUT... means: photos, videos, folders, globs and list files become one lazy stream of files.

It starts at once and takes the same memory for ten names as for a million. A folder is taken with all below it, the
photos and videos in it by their endings; what begins with a dot is left out, links to folders are not followed, and
the folder that results go to is not read. Within a folder files come by name as long as it holds no more than AT_ONCE
of them; a larger one comes in runs of so many, as the disk hands them out, each by name.

Paths are strings here: making a Path of each takes longer than finding it.
"""

import codecs
import fnmatch
import glob
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import SapiensError
from .kinds import is_media

AT_ONCE = 10_000  # names of a folder that are held, and so put in order, together
LIST_SUFFIXES = (".txt", ".lst", ".list")
MOST_NAME_BYTES = 64_000  # of a list's line: what is longer is no name


class Found(NamedTuple):
    """A file, or a place that could not be read.

    `path` is absolute. `stem` is where its results are wanted below the output folder, without their endings:
    "trip/IMG_1". `problem` is a sentence, "" where there is none. `root` is the folder that was looked through.
    """

    path: str
    stem: str
    problem: str = ""
    root: str = ""


def many(text: str, base: str = "") -> bool:
    """Whether an INPUT may stand for many files: it is a folder, a glob or a list."""
    return os.path.isdir(path := _at(base, text)) or _is_glob(text, path) or _is_list(path)


def expand(inputs: Sequence[str], base: str | Path, out: str | Path) -> Iterator[Found]:
    """The files of all INPUTs, in their order, as they are found. A file that two of them hold comes twice.

    Args:
        inputs: as typed; what is relative is so to `base`, in lists too.
        out: the folder of the results, which is not read.

    Raises:
        SapiensError: for a folder that cannot be read, a list that is none, or `out` itself among the folders.
    """
    base, away = os.path.realpath(base), _Away(out)
    wide = sum(many(text, base) for text in inputs) > 1
    for text in inputs:
        path = _at(base, text)
        if os.path.isdir(path):
            root = os.path.realpath(path)
            away.refuse(root, text)
            _check_readable(root)
            yield from _folder(root, f"{os.path.basename(root)}/" if wide else "", away)
        elif _is_glob(text, path):
            yield from _globbed(base, text, wide, away)
        elif _is_list(path):
            yield from _listed(path, base, away)
        else:
            yield Found(full := _full(path), _stem(os.path.basename(full)))


def _at(base: str, text: str) -> str:
    return os.path.join(base, os.path.expanduser(text))


def _is_glob(text: str, path: str) -> bool:
    return glob.has_magic(text) and not os.path.lexists(path)


def _is_list(path: str) -> bool:
    return path.lower().endswith(LIST_SUFFIXES) and os.path.isfile(path)


class _Away:
    """The output folder, wherever it is met and by whatever name."""

    def __init__(self, out: str | Path) -> None:
        self._identity = _identity(str(out))

    def __contains__(self, folder: str) -> bool:
        return self._identity is not None and _identity(folder) == self._identity

    def refuse(self, folder: str, text: str) -> None:
        """Raises SapiensError where it is `folder` itself."""
        if folder in self:
            raise SapiensError(
                f"{text} would be read and written at once. Give --out another folder; it may lie inside this one."
            )


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


# ---- folders --------------------------------------------------------------------------------------------------------


def _folder(root: str, prefix: str, away: _Away) -> Iterator[Found]:
    """All photos and videos below `root`; without recursion, for trees may be deep."""
    open_folders = [_entries(root)]
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
        elif entry.is_folder:
            if entry.path not in away:
                open_folders.append(_entries(entry.path))
        else:
            yield Found(entry.path, prefix + _stem(_relative(entry.path, root)), entry.problem, root)


class _Entry(NamedTuple):
    name: str
    path: str
    is_folder: bool = False
    problem: str = ""


def _entries(folder: str) -> Iterator[_Entry]:
    """The folders, photos and videos straight in `folder`; where it cannot be read, one that says so."""
    try:
        with os.scandir(folder) as found:
            entries = (entry for entry in found if not entry.name.startswith("."))
            while run := list(islice(entries, AT_ONCE)):
                yield from sorted(filter(None, map(_entry, run)))
    except OSError as problem:
        yield _Entry(os.path.basename(folder), folder, problem=_unreadable(folder, problem))


def _entry(found: os.DirEntry) -> _Entry | None:
    try:
        if found.is_dir(follow_symlinks=False):
            return _Entry(found.name, found.path, True)
        return _Entry(found.name, found.path) if is_media(found.name) and found.is_file() else None
    except OSError as problem:  # a link that leads round in a ring, or where nobody may look
        sentence = f"{found.path} cannot be read ({problem.strerror}). Check where it leads and that you may read it."
        return _Entry(found.name, found.path, problem=sentence) if is_media(found.name) else None


def _check_readable(folder: str) -> None:
    """Raises SapiensError where there is no looking into a folder that was asked for."""
    try:
        os.scandir(folder).close()
    except OSError as problem:
        raise SapiensError(_unreadable(folder, problem)) from problem


def _unreadable(folder: str, problem: OSError) -> str:
    return f"The folder {folder} cannot be read ({problem.strerror}). Check its name and that you may read it."


def _relative(path: str, root: str) -> str:
    """Of a path that lies in `root`."""
    return path[len(root.rstrip("/")) + 1 :]


def _stem(relative: str) -> str:
    return os.path.splitext(relative)[0]


# ---- globs ----------------------------------------------------------------------------------------------------------


def _globbed(base: str, text: str, wide: bool, away: _Away) -> Iterator[Found]:
    """What matches: photos and videos by their endings, and all that lies in folders that match."""
    parts = os.path.expanduser(text).split("/")
    plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    root = os.path.realpath(os.path.join(base, "/".join(parts[:plain]) or ("/" if not parts[0] and plain else "")))
    wild = [part for part in parts[plain:] if part]
    wild = [part for before, part in pairwise(["", *wild]) if not before == part == "**"]
    if wild[-1] == "**":
        wild.append("*")
    away.refuse(root, text)
    _check_readable(root)
    prefix = f"{os.path.basename(root)}/" if wide else ""
    for entry in _matching(root, wild, away):
        relative = _relative(entry.path, root)
        if not entry.is_folder:
            yield Found(entry.path, prefix + _stem(relative), entry.problem, root)
        elif "**" not in wild:  # there what lies in it matches itself
            yield from _folder(entry.path, f"{prefix}{relative}/", away)


def _matching(folder: str, parts: Sequence[str], away: _Away) -> Iterator[_Entry]:
    """Entries below `folder` by a pattern's parts, each an fnmatch, or "**" for any depth: never the last, nor two of
    them together."""
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _matching(folder, rest, away)
    matches = re.compile(fnmatch.translate(first)).match
    for entry in _entries(folder):
        if entry.is_folder and entry.path in away:
            continue
        if entry.path == folder:  # which cannot be read
            if first != "**":  # where it has been told
                yield entry
        elif first == "**":
            if entry.is_folder:
                yield from _matching(entry.path, parts, away)
        elif matches(entry.name):
            if not rest:
                yield entry
            elif entry.is_folder:
                yield from _matching(entry.path, rest, away)


# ---- lists and names ------------------------------------------------------------------------------------------------


def _listed(path: str, base: str, away: _Away) -> Iterator[Found]:
    """The files of a list: a path a line, or with a null character after each where names hold line breaks."""
    try:
        with open(path, "rb") as file:
            for name in _names(file, path):
                full = _full(os.path.join(base, name))
                if os.path.isdir(full):
                    root = os.path.realpath(full)
                    away.refuse(root, name)
                    below = _below(name, root)
                    yield from _folder(root, f"{below}/" if below else "", away)
                else:
                    yield Found(full, _stem(_below(name, full)), root=os.path.dirname(full))
    except OSError as problem:
        raise SapiensError(f"The list {path} cannot be read ({problem.strerror}). Check its name.") from problem


def _names(file: BinaryIO, path: str) -> Iterator[str]:
    """The names in a list, which is read piece by piece."""
    piece = file.read(1 << 16).removeprefix(codecs.BOM_UTF8)
    end = b"\0" if b"\0" in piece else b"\n"
    while piece:
        more = file.read(1 << 16)
        *whole, rest = piece.split(end)
        if not more:
            whole, rest = [*whole, rest], b""
        elif len(rest) > MOST_NAME_BYTES:
            raise SapiensError(f"{path} is no list of files. Write a path a line, or end each with a null character.")
        for name in whole:
            name = name if end == b"\0" else name.removesuffix(b"\r")
            if name.strip():
                yield os.fsdecode(name)
        piece = rest + more


def _below(name: str, full: str) -> str:
    """A listed path as it is mirrored: whole where it stays below the folder it starts from, else its last part; of one
    that ends in dots that of `full`, where it leads. "" for the root of all folders."""
    normal = os.path.normpath(name)
    outside = os.path.isabs(normal) or normal == "." or normal.startswith("..")
    if not outside:
        return normal
    last = os.path.basename(normal)
    return os.path.basename(full) if last in (".", "..") else last


def _full(path: str) -> str:
    """The path with its folder's links followed, so that one file is known by one name; its own link stays."""
    folder, name = os.path.split(path)
    return os.path.join(_real(folder), name) if name not in ("", ".", "..") else os.path.realpath(path)


@lru_cache(maxsize=256)
def _real(folder: str) -> str:
    return os.path.realpath(folder)
