"""The page for programs: the endpoints /predict, /compare and /models, which `serve --mcp` also offers as MCP tools.

Their docstrings are what programs are told of them: Gradio takes the lines before "Args" and a line an argument. It
takes inputs and outputs from the type hints, so the generators are annotated with what they yield. They are generators
because Stop, or the end of the connection, reaches one only where it yields.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gradio as gr
from gradio.data_classes import FileData

from ... import zoo
from ...errors import SapiensError
from ...runtime import Job
from .. import consent, outside
from ..progress import follow
from ..storage import MCP_FOLDER, Visits
from ..visit import Visit, tame_stem
from ..wiring import MODEL
from . import answers, values
from .files import Files, described, name_of, preview

TAB = "api"
LEVELS = ("fp32", "8bit", "4bit")  # what is compared where nothing is said
MOST_BOXES = 100  # of a call, which all others wait for: as many people as a detector finds
MOST_POINTS = 10_000_000
MCP_MISSING = 'The MCP server needs packages that are not installed here. Run: pip install "gradio[mcp]"'

if TYPE_CHECKING:
    Size = str
    Level = str
    Detector = str
    Foreground = str
    Style = str
    HandCrop = str
    HandNorms = str
else:  # from tables, which no type checker reads; Gradio tells programs of them
    Size = Literal[(*zoo.SIZES, "rtmdet-m", zoo.WILOR.name)]
    Level = Literal[tuple(zoo.LEVELS)]
    Detector = Literal[zoo.DETECTORS]
    Foreground = Literal["none", "auto", "matting", "seg"]
    Style = Literal["readme", "reference"]
    HandCrop = Literal["none", *zoo.HAND_SIDES]
    HandNorms = Literal[zoo.HAND_NORMS]


def connect(visits: Visits, weights: str | None) -> None:
    """Add the endpoints to the current Blocks. `weights` is a folder or None, as for Predictor."""
    programs = Programs(visits, weights)
    gr.api(programs.predict, api_name="predict", **MODEL)
    gr.api(programs.compare, api_name="compare", **MODEL)
    gr.api(programs.models, api_name="models", concurrency_limit=2)


def prepare_mcp(folder: Path) -> None:
    """What the MCP server needs before the page is served. `folder` is the process's own.

    Raises:
        SapiensError: its packages are missing.
    """
    if importlib.util.find_spec("mcp") is None:
        raise SapiensError(MCP_MISSING)
    import gradio.mcp

    # Where it puts photos that come as data: addresses: by default a folder that nobody ever empties.
    gradio.mcp.DEFAULT_TEMP_DIR = str(folder / MCP_FOLDER)


class Programs:
    """The endpoints."""

    def __init__(self, visits: Visits, weights: str | None) -> None:
        self._visits, self._weights = visits, weights
        self._files = Files(visits)

    def predict(  # type: ignore[misc]  # annotated with what it yields, for Gradio
        self,
        request: gr.Request,
        photo: FileData,
        tasks: list[str] | str = zoo.DEFAULTS.task,
        size: Size = zoo.DEFAULTS.size,
        level: Level | None = None,
        boxes: list[list[float]] | None = None,
        detector: Detector = zoo.DETECTORS[0],
        box_threshold: float = zoo.DEFAULTS.box_threshold,
        nms_threshold: float = zoo.DEFAULTS.nms_threshold,
        keypoint_threshold: float = zoo.DEFAULTS.keypoint_threshold,
        flip: bool = zoo.DEFAULTS.flip,
        foreground: Foreground = zoo.DEFAULTS.foreground,
        style: Style = zoo.DEFAULTS.style,
        background: str = "none",
        background_picture: FileData | None = None,
        points: int = zoo.DEFAULTS.points,
        hand_threshold: float = zoo.DEFAULTS.hand_threshold,
        hand_iou: float = zoo.DEFAULTS.hand_iou,
        hand_crop: HandCrop = "none",
        hand_norms: HandNorms = zoo.DEFAULTS.hand_norms,
        vertices: bool = True,
        mesh_opacity: float = zoo.DEFAULTS.mesh_opacity,
        accept_licences: bool = False,
    ) -> tuple[list[FileData], dict[str, Any], FileData]:
        """See people in a photo by Sapiens2: body parts, 308 keypoints, normals, depth in metres, albedo, cut-outs; and
        hands in 3-D by WiLoR.

        Gives the files (pictures, arrays, JSON, meshes), a report of how they came about (of several tasks: "results"
        and "failed"), and a small picture to look at. The size "demo" is for drawn figures; for photographs take 0.4b
        or larger, whose weights are under the Sapiens2 License and are downloaded once. Those of hands are CC BY-NC-ND
        4.0, their detector is under Ultralytics' terms and MANO under its own: accept_licences accepts them.

        By MCP a photo comes as a data: URL, or as the address on this server that uploading it gave.

        Args:
            photo: JPEG, PNG or TIFF of at most 100 megapixels, WebP or AVIF of 50, sent as a file, never as an address.
            tasks: of seg, pose, normal, pointmap, albedo, matting, features, detect, hands: a list, or with commas.
            size: of the network: demo, 0.4b, 0.8b, 1b, 5b; for features also 0.1b and 1b-4k; rtmdet-m for detect.
            level: how the weights are stored, fp32 to nvfp4 (hands: fp32, bf16, 4bit); default bf16, on the CPU fp32.
            boxes: for pose, people as [x1, y1, x2, y2] in photo pixels, 100 at most; default: a detector finds them.
            detector: who finds people for pose and detect: rtmdet, rfdetr, or none (the whole photo is one person).
            box_threshold: the least score of a person who was found, 0 to 1.
            nms_threshold: the most overlap of two people who were found, as intersection over union, 0 to 1.
            keypoint_threshold: the least score of a keypoint that is drawn, 0 to 1; files have all.
            flip: for pose, the mean with the mirrored photo: twice the time, more exact.
            foreground: what pictures and meshes of normal, pointmap and albedo are cut to: none, auto, matting or seg.
            style: the look of the pictures: readme or reference.
            background: of matting's picture: none, blur, or a colour such as #00b140 or navy.
            background_picture: of matting's picture, in place of background; sent as photo is.
            points: the most points of pointmap's mesh and point cloud, 10 million at most.
            hand_threshold: the least score of a hand that is found, 0 to 1.
            hand_iou: of two hands that overlap by more than this (intersection over union, 0 to 1), one is kept.
            hand_crop: left or right where the photo is a ready crop of that hand; none where hands are to be found.
            hand_norms: statistics of the norms: package (each hand's own) or trained (those of the weights).
            vertices: whether hands come with meshes, beside their 21 points.
            mesh_opacity: of the meshes in the picture of hands, 0 to 1.
            accept_licences: whether you accept those of hands; needed on a Space, elsewhere before the first download.
        """
        try:
            visit = self._visits.of(request.session_hash, TAB)
            from ... import costs, predict_files
            from ...image import read_image
            from ...inventory import too_large
            from ...options import FOREGROUNDS, Options
            from ...predictor import Predictor
            from ...tasks.background import resolved

            values.check_choice("foreground", foreground, FOREGROUNDS)  # else it would be the name of a file here
            values.check_choice("style", style, ("readme", "reference"))
            values.check_choice("detector", detector, zoo.DETECTORS)
            values.check_number("keypoint_threshold", keypoint_threshold, 0, 1)
            values.check_number("box_threshold", box_threshold, 0, 1)
            values.check_number("nms_threshold", nms_threshold, 0, 1)
            values.check_number("points", points, 1, MOST_POINTS)
            values.check_count("boxes", boxes, MOST_BOXES)
            values.check_number("hand_threshold", hand_threshold, 0, 1)
            values.check_number("hand_iou", hand_iou, 0, 1)
            values.check_choice("hand_crop", hand_crop, ("none", *zoo.HAND_SIDES))
            values.check_choice("hand_norms", hand_norms, zoo.HAND_NORMS)
            values.check_number("mesh_opacity", mesh_opacity, 0, 1)
            wanted = dict.fromkeys(values.names("tasks", tasks))  # each once
            predictors = [Predictor(name, size, level, self._weights) for name in wanted]
            if not predictors:
                raise SapiensError(f"There is no task. Choose one or more of: {', '.join(zoo.task_names())}.")
            folder = self._files.folder(visit)
            photo_rgb, name = read_image(self._files.upload(visit, "photo", photo)), name_of(photo)
            stem = tame_stem(name)
            if background_picture is None:
                behind = None if background == "none" else resolved(values.colour(background))
            else:
                behind = read_image(self._files.upload(visit, "background_picture", background_picture))
            options = Options(
                boxes_xyxy=boxes,
                detector=detector,
                box_threshold=box_threshold,
                nms_threshold=nms_threshold,
                flip=bool(flip),
                foreground=foreground,
                hand_threshold=hand_threshold,
                hand_iou=hand_iou,
                vertices=bool(vertices),
                hand_crop=None if hand_crop == "none" else hand_crop,
                hand_norms=hand_norms,
            )
            reports, failures, both = [], [], {}
            for predictor in predictors:
                title = zoo.task_row(predictor.task).title
                try:
                    consent.check_call([predictor], accept_licences is True)
                    job = predictor.submit(photo_rgb, options)
                    for words in _followed(visit, job):
                        yield [], {"status": f"{title}: {words}"}, None
                    result = job.result()
                    yield [], {"status": f"{title}: Writing the files"}, None
                    done = predict_files.save(
                        result,
                        folder,
                        stem,
                        name,
                        style=style,
                        keypoint_threshold=keypoint_threshold,
                        points=int(points),
                        background=behind,
                        mesh_opacity=mesh_opacity,
                    )
                    if predictor.task in predict_files.TOGETHER:  # others would be kept in memory for nothing
                        both[predictor.task] = result
                    done["files"] += predict_files.save_together(both, predictor.task, folder, stem)
                except SapiensError as problem:
                    if len(predictors) == 1:
                        raise
                    failures.append(predict_files.failure(name, predictor.task, problem))
                    continue
                costs.remember(result.report, costs.inputs_of(result, options.flip))
                warning = too_large(predictor.task, predictor.size, predictor.level)
                done["notices"] = [*done["notices"], *([warning] if warning else [])]
                reports.append(done)
            if not reports:
                raise SapiensError(failures[0]["error"])
            files = [Path(path) for report in reports for path in report["files"]]
            picture = preview([report["files"][0] for report in reports], folder / "preview.png")
            for report in reports:
                report["files"] = [Path(path).name for path in report["files"]]
            report = predict_files.together(reports, failures, len(predictors))
            yield [described(path) for path in files], outside.for_others(report), described(picture)
        except Exception as problem:
            raise answers.told(problem) from problem

    def compare(  # type: ignore[misc]  # annotated with what it yields, for Gradio
        self,
        request: gr.Request,
        photo: FileData,
        task: str = zoo.DEFAULTS.task,
        size: Size = zoo.DEFAULTS.size,
        levels: list[str] | str | None = None,
        variants: list[str] | str | None = None,
        reference: str | None = None,
        foreground: Literal["auto", "none"] = "auto",
        runs: int | None = None,
        accept_licences: bool = False,
    ) -> tuple[dict[str, Any], FileData, FileData]:
        """What quantization levels and sizes of Sapiens2 cost and save, on one photo: differences, seconds, memory.

        Gives the report with the figures of each variant, the same as a table (CSV), and all as one picture (PNG):
        results, maps of what differs from the reference, figures.

        By MCP a photo comes as a data: URL, or as the address on this server that uploading it gave.

        Args:
            photo: JPEG, PNG or TIFF of at most 100 megapixels, WebP or AVIF of 50, sent as a file, never as an address.
            task: one of seg, pose, normal, pointmap, albedo, matting, features, hands.
            size: of levels: demo, 0.4b, 0.8b, 1b, 5b; for features also 0.1b and 1b-4k; any for hands.
            levels: of it, fp32 to nvfp4; a list, or with commas. Default fp32, 8bit, 4bit (hands: fp32, bf16, 4bit).
            variants: more, each a size and a level such as 0.4b:bf16; in place of levels where those are not given.
            reference: what all are measured by, a level or size:level; default the most precise that fits.
            foreground: where normals, depth and albedo are compared: auto (over people) or none (everywhere).
            runs: time the median of so many runs, 1 to 20; default 3, and 1 where they are slow.
            accept_licences: whether you accept those of hands; needed on a Space, elsewhere before the first download.
        """
        try:
            visit = self._visits.of(request.session_hash, TAB)
            from ...compare import Comparison
            from ...compare_files import sheet, to_csv, to_json
            from ...files import write_bytes
            from ...image import read_image, write_png
            from ...variants import parse_list

            values.check_choice("foreground", foreground, ("auto", "none"))
            if runs is not None:
                values.check_number("runs", runs, 1, 20)
            unsaid = [] if values.names("variants", variants) else zoo.task_row(task).levels or LEVELS
            named = values.names("levels", levels) or unsaid
            wanted = parse_list(",".join(named), size, ",".join(values.names("variants", variants)))
            folder = self._files.folder(visit)
            comparison = Comparison(
                read_image(self._files.upload(visit, "photo", photo)),
                task,
                wanted,
                reference or None,
                weights=self._weights,
                runs=None if runs is None else int(runs),
                foreground=foreground,
                name=name_of(photo),
            )
            consent.check_call(comparison.predictors, accept_licences is True)
            while True:
                job = comparison.submit()
                for words in _followed(visit, job):
                    variant = f"{comparison.running}: " if comparison.running else ""
                    yield {"status": f"{variant}{words}"}, None, None
                entry = job.result()
                if entry is None:
                    break
                entry.result = entry.picture = entry.heat_map = None  # its tile and its figures are enough
            outside.clear(comparison)
            errors = [entry.error for entry in comparison.entries if entry.error]
            if len(errors) == len(comparison.entries):
                raise SapiensError(errors[0])
            stem = f"{tame_stem(name_of(photo))}_compare_{comparison.task}"
            table = write_bytes(folder / f"{stem}.csv", outside.for_others(to_csv(comparison)).encode())
            picture = write_png(folder / f"{stem}.png", sheet(comparison))
            yield outside.for_others(to_json(comparison)), described(table), described(picture)
        except Exception as problem:
            raise answers.told(problem) from problem

    def models(self) -> dict[str, Any]:
        """What networks there are, which weights are on this server and how large, what the others' licences are, and
        which quantization levels fit its memory.

        "checkpoints" has a row for each task and size: `here` says whether a run downloads nothing. "fits" has the
        levels of each size that fit `memory_bytes`.
        """
        try:
            from ... import inventory, runtime

            listing = inventory.listing(self._weights, runtime.memory_limit_bytes())
            del listing["cache"], listing["hub_cache"]
            for row in listing["checkpoints"]:
                row["here"] = row.pop("file") is not None
            return outside.for_others(listing)
        except Exception as problem:
            raise answers.told(problem) from problem


# ---- the run --------------------------------------------------------------------------------------------------------


def _followed(visit: Visit, job: Job) -> Iterator[str]:
    """What the job is at, in words, until it is done. Closing it, or leaving, cancels the job."""
    visit.job = job
    if visit.closed:
        job.cancel()
    for step, _ in follow(job):
        yield step.words
