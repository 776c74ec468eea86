"""Every place of the package that writes files, each starved: `python starved_process.py FOLDER` prints a JSON object
of what came of it, by the place's name.

A place writes into a folder of its own: once undisturbed; then with the largest of its files allowed no byte, half of
its bytes, all but one, both into a new folder and over what is there, and after each undisturbed once more. What stands
for the full disk is the limit on the size of a file, of this process alone.
"""

import sapiens_mlx  # noqa: F401  isort: skip

import contextlib
import json
import os
import resource
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import clips
import made_up_hands as made_up
import rule

from sapiens_mlx import compare_files, costs, files, predict_files, verify, zoo
from sapiens_mlx.compare import Comparison
from sapiens_mlx.hands import mano
from sapiens_mlx.jobs import manifest, merge
from sapiens_mlx.jobs.claims import Board
from sapiens_mlx.jobs.index import Work
from sapiens_mlx.jobs.job import Job
from sapiens_mlx.jobs.plan import Item
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.runtime import inference
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.video import charts, results
from sapiens_mlx.video.depth import DepthStore
from sapiens_mlx.video.frames import Frame
from sapiens_mlx.video.segments import Made, Parts
from sapiens_mlx.video.write import Encoder, Piece, join
from sapiens_mlx.weights import consent, conversion, original, publish
from tests.page_process import add_tiny

PHOTO = clips.noisy(3, (96, 128))
BOX = [[20.0, 5.0, 90.0, 90.0]]
RATE, TIME_BASE = Fraction(10), Fraction(1, 10)
FORMATS = {"pose": {"pose_formats": ("coco17", "csv")}, "pointmap": {"points": 2000}, "matting": {}}

Place = Callable[[Path], object]


def predicted(task: str, **options):
    return Predictor(task, "demo")(PHOTO, **options)


def places(work: Path) -> Iterator[tuple[str, Place]]:
    """Their names, and what writes into a folder; what can be made before is made once, in `work`."""
    poses = None
    for task in ("seg", "normal", "pointmap", "albedo", "matting", "pose", "detect"):
        result = predicted(task, **{"boxes_xyxy": BOX} if task == "pose" else {})
        poses = result if task == "pose" else poses
        saving = {"side_by_side": True, **FORMATS.get(task, {})}
        yield f"predict {task}", lambda to, it=result, how=saving: predict_files.save(it, to, "a", "a.png", **how)
    comparison = Comparison(PHOTO, "seg", ["demo:fp32", "demo:4bit"], runs=1, name="a")
    list(comparison)
    yield "compare", lambda to: compare_files.save(comparison, to, "a")
    yield from of_clips(work, poses)
    yield from of_jobs(work)
    yield from of_weights(work)


def of_clips(work: Path, poses: object) -> Iterator[tuple[str, Place]]:
    frames = [Frame(number, number / 10, number, 1, PHOTO) for number in range(6)]

    def pieces(to: Path) -> None:
        parts = Parts(to / ".parts", {"of": "a"}, 3, resume=False)
        try:
            for frame in frames:
                parts.add(Made(frame.pts, 1, frame.rgb, json.dumps({"frame": frame.index})), RATE, TIME_BASE, "state")
        finally:
            parts.close(remove=False)

    def stored(to: Path) -> None:
        shutil.rmtree(to / "depth", ignore_errors=True)
        DepthStore(to / "depth", "studio").add(frames[0], depth, keep_frame=True)

    encoder, piece = Encoder(PHOTO.shape[:2], RATE, TIME_BASE), work / "piece.mp4"
    for frame in frames:
        encoder.add(frame.rgb, frame.pts)
    piece.write_bytes(encoder.finished())
    rows = [json.loads(results.line(frame, poses, [1])) for frame in frames]
    depth = predicted("pointmap", foreground="none")
    yield "a clip's pieces", pieces
    yield "a clip's video", lambda to: join([Piece(piece, range(6), 6)], to / "a.mp4", TIME_BASE)
    yield "a clip's results", lambda to: results.write(to / "a.jsonl", [b"{}\n" * 1000])
    yield "a clip's angles", lambda to: charts.write_angles(rows, to / "a.csv", to / "a.png", 0.1, "a")
    yield "a clip's depth", stored


def of_jobs(work: Path) -> Iterator[tuple[str, Place]]:
    job = Job([str(work / "nothing-*.png")], ".", [Work("seg", "demo", "fp32", {})])
    row = {"file": "a.png", "stem": "a" * 1000, "outputs": [], **job.works[0].row}

    def merged(to: Path) -> None:
        with no_limit():
            for name in (job_file, manifest.name(0)):
                shutil.copy(work / name, to)
        merge.merge(to)

    def added(to: Path) -> None:
        with manifest.Manifest(to) as book:
            book.add(row)

    def laid_out(to: Path) -> None:
        folder, board = to / "board", None
        for name in ("todo", "taken", "alive"):
            (folder / name).mkdir(parents=True)
        try:
            board = Board(folder, 0, 1, threading.Event())
            board.lay_out(iter([Item("a" * 200, "a", ["seg"])]), lambda: 1.0)
            list(board.items(lambda _, items: items))
        finally:
            if board is not None:
                board.leave()
            shutil.rmtree(folder, ignore_errors=True)  # as the next run does
        (to / "done").write_text("d" * 100)  # for there is nothing left of a board

    job.keep(work)
    job_file = next(work.glob("*.job.json")).name
    (work / manifest.name(0)).write_text(json.dumps(row) + "\n")
    yield "a job", job.keep
    yield "a manifest", added
    yield "a merged manifest", merged
    yield "a board", laid_out


def of_weights(work: Path) -> Iterator[tuple[str, Place]]:
    add_tiny()
    checkpoint, level = zoo.checkpoint("seg", "tiny"), zoo.level("8bit")
    path = work / "sapiens2_tiny_seg.safetensors"
    rule.write_checkpoint(path, rule.tiny_shapes("seg"))
    converted = inference.run(
        lambda progress: original.convert(path, checkpoint, level, conversion.mx.bfloat16, progress)
    )
    source = conversion.Source("a.safetensors", 1)

    def on_its_thread(write: Callable[..., object]) -> Place:
        return lambda to: inference.run(lambda progress: write(to))

    def kept(to: Path) -> None:
        shutil.rmtree(to / "seg-tiny-8bit-0", ignore_errors=True)
        conversion.keep(to / "seg-tiny-8bit-0", converted, checkpoint, level, source)

    def published(to: Path) -> None:
        shutil.rmtree(to / "a", ignore_errors=True)
        publish.write_folder(to / "a", converted, checkpoint, level, source)

    def touched(to: Path) -> None:
        folder = to / "kept"
        if not folder.exists():
            with no_limit():
                inference.run(lambda progress: conversion.keep(folder, converted, checkpoint, level, source))
        os.utime(folder / conversion.MODEL, (1, 1))
        assert conversion.is_whole(folder, checkpoint, level)

    def in_cache(write: Callable[[], object]) -> Place:
        def place(to: Path) -> None:
            os.environ.update(SAPIENS_MLX_CACHE=str(to / "cache"), HOME=str(to))
            write()

        return place

    def photo() -> None:
        photo = work / "photo.png"
        if not photo.exists():
            with no_limit():
                files.write_bytes(photo, verify_photo())
        verify._table = lambda _: {"photo": {"url": photo.as_uri(), "size_hw": list(PHOTO.shape[:2])}}
        kept = conversion.cache_folder() / "verify/photo.png"
        kept.unlink(missing_ok=True)
        verify._photo()

    def remembered() -> None:
        costs.remember(Report("seg", "demo", "fp32", "a machine", "float32", "", {"network": 1.0}))

    yield "a conversion", on_its_thread(kept)
    yield "a folder to publish", on_its_thread(published)
    yield "a conversion's time", touched
    yield "licences accepted", in_cache(consent.accept)
    yield "seconds of earlier runs", in_cache(remembered)
    yield "MANO", in_cache(lambda: mano.keep(mano.Mano(made_up.mano_arrays())))
    yield "the photo of verify", in_cache(photo)


def verify_photo() -> bytes:
    import cv2

    return cv2.imencode(".png", PHOTO)[1].tobytes()


# ---- starving -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def limited(most_bytes: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


def no_limit() -> contextlib.AbstractContextManager[None]:
    return limited(resource.getrlimit(resource.RLIMIT_FSIZE)[1])


def there(folder: Path) -> dict[str, bytes]:
    """All files in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def is_whole(name: str, data: bytes, expected: bytes) -> bool:
    """Whether it is what an undisturbed run writes, but for the seconds that it names."""
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(data).keys() == json.loads(expected).keys()
    return len(data) == len(expected)


def starved(write: Place, folder: Path) -> dict:
    whole = folder / "whole"
    whole.mkdir(parents=True)
    write(whole)
    files = there(whole)
    largest = max(len(data) for data in files.values())
    tries = []
    for most_bytes in (0, largest // 2, largest - 1):
        for kind in ("new", "old"):
            to = folder / f"{kind} {most_bytes}"
            shutil.copytree(whole, to) if kind == "old" else to.mkdir()
            with limited(most_bytes):
                try:
                    write(to)
                    problem = None
                except Exception as found:
                    problem = found
            left = there(to)
            tries.append(
                {
                    "most_bytes": most_bytes,
                    "kind": kind,
                    "error": problem and [one.__name__ for one in type(problem).__mro__],
                    "message": str(problem or ""),
                    "strange": sorted(left.keys() - files.keys()),
                    "half": [name for name in left if name in files and not is_whole(name, left[name], files[name])],
                    "missing": sorted(files.keys() - left.keys()),
                }
            )
            write(to)
            tries[-1]["after"] = sorted(there(to).keys() ^ files.keys())
            shutil.rmtree(to)
    return {"files": sorted(files), "tries": tries}


def main(folder: Path) -> None:
    os.environ["SAPIENS_MLX_CACHE"], os.environ["HF_HUB_OFFLINE"] = str(folder / "cache"), "1"
    work = folder / "work"
    work.mkdir()
    only = sys.argv[2:]
    found = {}
    for number, (name, write) in enumerate(places(work)):
        if not only or name in only:
            found[name] = starved(write, folder / str(number))
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
