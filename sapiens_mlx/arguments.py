"""The arguments of the command line: what every command takes, and what a wrong one is told.

Help and mistakes are answered from here, so nothing heavier than the tables of zoo.py is imported.
"""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any, NoReturn

from . import __version__, zoo
from .errors import SapiensError
from .video import arguments as of_video

COMMAND, AS_A_MODULE = "sapiens-mlx", "python -m sapiens_mlx"
PREDICT_EXAMPLE = """examples:
  python -m sapiens_mlx predict photo.jpg --out results
  python -m sapiens_mlx predict photo.jpg --task seg --size 0.4b --out results
  python -m sapiens_mlx predict photo.jpg --task pose --boxes 30,20,400,780 --out results --json
  python -m sapiens_mlx predict photo.jpg --task pose --pose-formats coco17,openpose,angles --out results
  python -m sapiens_mlx predict clip.mp4 --task pose --view side-by-side --out results
  python -m sapiens_mlx predict photo.jpg --task pose,hands --size 0.4b --out results
  python -m sapiens_mlx predict photos 'more/**/*.jpg' list.txt --task seg,pose,normal --size 0.4b --out results
  mlx.launch -n 2 --env OPENBLAS_NUM_THREADS=1 python -m sapiens_mlx predict photos --size 0.4b --out results
  python -m sapiens_mlx predict --merge results"""
COMPARE_EXAMPLE = """examples:
  python -m sapiens_mlx compare photo.jpg --task seg --size 0.4b --levels fp32,bf16,8bit,4bit --out results
  python -m sapiens_mlx compare photo.jpg --task normal --variants 0.4b:fp32,1b:4bit --reference 1b:fp32 --json"""
CONVERT_EXAMPLE = """examples:
  python -m sapiens_mlx convert facebook/sapiens2-seg-0.4b --level 4bit
  python -m sapiens_mlx convert sapiens2_0.4b_seg.safetensors --level 8bit --out sapiens2-seg-0.4b-8bit
  python -m sapiens_mlx convert --task pose --size 1b --level mxfp4 --out pose --upload me/sapiens2-pose-1b-mxfp4"""
MODELS_EXAMPLE = """examples:
  python -m sapiens_mlx models
  python -m sapiens_mlx models --memory 16GB
  python -m sapiens_mlx models --remove seg-0.4b-8bit
  python -m sapiens_mlx models --remove facebook/sapiens2-seg-0.4b"""
BENCH_EXAMPLE = """examples:
  python -m sapiens_mlx bench --task seg --size 0.4b --level 8bit
  python -m sapiens_mlx bench --task pose --size 0.4b --against torch --json"""
VERIFY_EXAMPLE = """examples:
  python -m sapiens_mlx verify --task seg --size 0.4b
  python -m sapiens_mlx verify --task pose,normal --weights ~/sapiens2_host --photo 000000004016.jpg --json"""
SERVE_EXAMPLE = """example:
  python -m sapiens_mlx serve --port 7861 --weights ~/sapiens2_host"""


PEERS = ("torch", "mlx-vlm")  # what bench can run beside ours


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        raise SapiensError(f"{message}. See: {self.prog} --help")


def argument_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line. What it returns has the command's name as `command`; what is wrong with
    the arguments it raises as SapiensError."""
    parser = _Parser(
        prog=_called(),
        description="Sapiens2 on MLX: body parts, pose, normals, depth, albedo and mattes from photos of people.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for add in (_add_predict, _add_compare, _add_convert, _add_models, _add_bench, _add_verify, _add_serve):
        add(commands)
    return parser


# ---- what each command takes ----------------------------------------------------------------------------------------


def _command(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    """The parser of a new one of the `commands`, which are what add_subparsers() returns."""
    return commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=example.replace(AS_A_MODULE, _called()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _called() -> str:
    """What the command line was started by: the command that pip installs, or the module, which a clone has too."""
    return COMMAND if Path(sys.argv[0]).stem == COMMAND else AS_A_MODULE


def _add_predict(commands: Any) -> None:
    parser = _command(commands, "predict", "run one or more tasks on photos and write the files", PREDICT_EXAMPLE)
    default = zoo.DEFAULTS
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="photos and videos; folders, with all below them; globs in quotes; list files (.txt: a path a line, or "
        "each ended by a null character); the number of a camera",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="pass over what the manifest in DIR says is done, as folders, globs and lists always do; go on with a "
        "video that was interrupted",
    )
    parser.add_argument(
        "--merge", metavar="OUT", help="join what the processes of mlx.launch wrote there, and say what is missing"
    )
    parser.add_argument(
        "--task", default=default.task, help=f"{', '.join(zoo.task_names())}; several with commas (seg)"
    )
    parser.add_argument("--size", help=f"{', '.join(zoo.SIZES)}; for detect also rtmdet-m ({default.size})")
    parser.add_argument("--level", help=f"{', '.join(zoo.LEVELS)} (bf16; fp32 on the CPU)")
    _add_weights(parser)
    _add_out(parser)
    _add_people(parser)
    _add_hands(parser)
    parser.add_argument(
        "--mesh-opacity", type=_share, default=default.mesh_opacity, metavar="0..1", help="of the meshes of hands"
    )
    parser.add_argument("--keypoint-threshold", type=_share, default=default.keypoint_threshold, metavar="0..1")
    parser.add_argument(
        "--pose-formats",
        default="",
        metavar="F,F,...",
        help="also write poses as coco17, wholebody133, openpose (JSON), csv (keypoints), angles (CSV)",
    )
    parser.add_argument("--style", choices=("readme", "reference"), default=default.style, help="look of the pictures")
    parser.add_argument(
        "--foreground", default=default.foreground, metavar="none|auto|matting|seg|FILE", help="cut pictures to people"
    )
    parser.add_argument(
        "--points", type=_count, default=default.points, help=f"most points of a mesh ({default.points})"
    )
    parser.add_argument(
        "--background",
        default="none",
        metavar="none|blur|COLOUR|FILE",
        help="what matting's picture has behind people; a colour is #00b140 or a name",
    )
    parser.add_argument("--side-by-side", action="store_true", help="also the photo and the picture in one file")
    _add_json(parser)
    of_video.add_arguments(parser)


def _add_compare(commands: Any) -> None:
    parser = _command(
        commands, "compare", "one photo at several levels and sizes: pictures and numbers", COMPARE_EXAMPLE
    )
    default = zoo.DEFAULTS
    parser.add_argument("photo", metavar="PHOTO")
    parser.add_argument("--task", default=default.task, help=f"{', '.join(zoo.task_names())} ({default.task})")
    parser.add_argument("--size", default=default.size, help=f"of --levels: {', '.join(zoo.SIZES)} ({default.size})")
    parser.add_argument("--levels", metavar="L,L,...", help=f"of {', '.join(zoo.LEVELS)}")
    parser.add_argument(
        "--variants", metavar="S:L,...", help="more of them, each a size and a level: 0.4b:bf16,1b:4bit"
    )
    parser.add_argument("--reference", metavar="L", help="what all are measured by: a level or size:level (the best)")
    _add_weights(parser)
    _add_out(parser)
    _add_people(parser)
    _add_hands(parser)
    parser.add_argument(
        "--foreground",
        default="auto",
        metavar="auto|none|FILE",
        help="compare normals, depth, albedo over people (auto)",
    )
    parser.add_argument("--runs", type=_count, metavar="N", help="time the median of N runs (3; 1 where they are slow)")
    _add_json(parser)


def _add_convert(commands: Any) -> None:
    parser = _command(commands, "convert", "quantize a checkpoint once, to keep or to publish", CONVERT_EXAMPLE)
    parser.add_argument("source", nargs="?", metavar="REPO|FILE", help="a repository on the hub, or a checkpoint file")
    parser.add_argument("--task", help=f"{', '.join(zoo.TASKS)} (what the name of REPO or FILE says)")
    parser.add_argument("--size", help=f"{', '.join(zoo.SIZES)} (what the name says)")
    parser.add_argument("--level", required=True, help=", ".join(zoo.LEVELS))
    parser.add_argument("--out", metavar="DIR", help="a new folder, ready to be published (the cache)")
    parser.add_argument("--upload", metavar="REPO", help="send DIR to OWNER/NAME on the Hugging Face hub, after asking")
    parser.add_argument("--yes", action="store_true", help="send without asking")
    _add_weights_folder(parser)
    _add_json(parser)


def _add_models(commands: Any) -> None:
    parser = _command(commands, "models", "what is on this machine, what can be had, what fits", MODELS_EXAMPLE)
    _add_weights_folder(parser)
    parser.add_argument("--memory", type=_bytes, metavar="16GB", help="what fits into this much (this machine's)")
    parser.add_argument(
        "--remove",
        nargs="+",
        metavar="NAME",
        help="remove kept conversions (`all` for all) or, by OWNER/NAME, what was downloaded from the hub; `hands`: "
        "all that was downloaded for hands, and that their licences were accepted",
    )
    _add_json(parser)


def _add_bench(commands: Any) -> None:
    parser = _command(commands, "bench", "how fast a network is here, and how much memory it takes", BENCH_EXAMPLE)
    default = zoo.DEFAULTS
    parser.add_argument("--task", default=default.task, help=f"{', '.join(zoo.TASKS)} ({default.task})")
    parser.add_argument("--size", default=default.size, help=f"{', '.join(zoo.SIZES)} ({default.size})")
    parser.add_argument("--level", help=f"{', '.join(zoo.LEVELS)} (bf16; fp32 on the CPU)")
    _add_weights(parser)
    parser.add_argument("--against", choices=PEERS, help="run this program's network too, in turns")
    parser.add_argument("--turns", type=_count, default=3, metavar="N", help="passes to take the median of (3)")
    _add_json(parser)


def _add_verify(commands: Any) -> None:
    parser = _command(
        commands, "verify", "whether the published weights give the published values here", VERIFY_EXAMPLE
    )
    default = zoo.DEFAULTS
    parser.add_argument("--task", default=default.task, help=f"of {', '.join(zoo.TASKS)}; several with commas (seg)")
    parser.add_argument("--size", help="the size (the one that there are values for)")
    _add_weights(parser)
    parser.add_argument("--photo", metavar="FILE", help="a copy of the photo (downloaded once into the cache)")
    _add_json(parser)


def _add_serve(commands: Any) -> None:
    parser = _command(commands, "serve", "open the page in a browser", SERVE_EXAMPLE)
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=_port, help="port to listen on (7860)")
    parser.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help="ask visitors for this name and password; better given as $SAPIENS_AUTH, which other users of this "
        "machine cannot read",
    )
    parser.add_argument(
        "--share",
        action="store_true",
        help="a public link through Gradio's servers, for whoever has it: photos travel through them",
    )
    parser.add_argument(
        "--mcp", action="store_true", help="also serve its API as MCP tools; needs: pip install 'gradio[mcp]'"
    )
    _add_weights_folder(parser)


# ---- what several commands take -------------------------------------------------------------------------------------


def _add_people(parser: argparse.ArgumentParser) -> None:
    """Who is in the photo, for pose."""
    default = zoo.DEFAULTS
    parser.add_argument(
        "--boxes", action="append", type=_box, metavar="X1,Y1,X2,Y2", help="a person in photo pixels; may be repeated"
    )
    parser.add_argument("--boxes-file", metavar="FILE", help="boxes as JSON [[x1, y1, x2, y2], ...] or CSV rows")
    parser.add_argument(
        "--detector",
        choices=zoo.DETECTORS,
        default=zoo.DETECTORS[0],
        help="who finds the people (rtmdet); rfdetr needs the package mlx-vlm, none takes the whole photo",
    )
    parser.add_argument("--box-threshold", type=_share, default=default.box_threshold, metavar="0..1")
    parser.add_argument("--nms", type=_share, default=default.nms_threshold, metavar="0..1")
    parser.add_argument("--no-flip", action="store_true", help="pose without the mirrored pass: twice as fast, rougher")


def _add_hands(parser: argparse.ArgumentParser) -> None:
    """How hands are looked for, and that their licences are accepted."""
    default = zoo.DEFAULTS
    parser.add_argument(
        "--hand-threshold", type=_share, default=default.hand_threshold, metavar="0..1", help="least score of a hand"
    )
    parser.add_argument(
        "--hand-iou", type=_share, default=default.hand_iou, metavar="0..1", help="of hands that overlap by more, one"
    )
    parser.add_argument("--hand-crop", choices=zoo.HAND_SIDES, help="the photo is a ready crop of this hand")
    parser.add_argument(
        "--hand-norms",
        choices=zoo.HAND_NORMS,
        default=default.hand_norms,
        help="statistics of the refinement's norms: each hand's own, as wilor-mlx has it, or those of the weights",
    )
    parser.add_argument("--no-vertices", action="store_true", help="the points of hands without their meshes")
    parser.add_argument(
        "--accept-licences",
        action="store_true",
        help="download the weights of hands without asking; they are CC BY-NC-ND, their detector under Ultralytics' "
        "terms, MANO under its own",
    )


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        metavar="DIR|FILE|REPO",
        help="folder in the reference's layout or with one model, a checkpoint file, or a repository on the hub",
    )


def _add_weights_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", metavar="DIR", help="folder in the reference's layout")


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default=".", metavar="DIR", help="folder for the files (the current one)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


# ---- values ---------------------------------------------------------------------------------------------------------


def _box(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not a box; write x1,y1,x2,y2")
    return numbers


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:  # nor is NaN
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")


def _count(text: str) -> int:
    if not (text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a count; write 1 or more")
    return int(text)


def _port(text: str) -> int:
    if not (text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; write a number from 1 to 65535")
    return int(text)


def _bytes(text: str) -> int:
    units = {"GB": 1e9, "GIB": 2**30, "MB": 1e6, "G": 1e9}
    for unit, factor in units.items():
        if text.upper().endswith(unit):
            with contextlib.suppress(ValueError, OverflowError):
                amount = int(float(text[: -len(unit)]) * factor)
                if amount > 0:
                    return amount
    raise argparse.ArgumentTypeError(f"{text!r} is not an amount of memory; write 16GB")
