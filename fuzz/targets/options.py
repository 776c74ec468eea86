"""What the command line is told: every command's arguments (one a line here), and the options made of them."""

import contextlib
import io
from collections.abc import Iterator

from sapiens_mlx import variants
from sapiens_mlx.arguments import argument_parser
from sapiens_mlx.commands.people import people_of
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.options import Options
from sapiens_mlx.tasks import pose_formats
from sapiens_mlx.video.arguments import choices_of

PARSER = argument_parser()
COMMANDS = ("predict", "compare", "convert", "models", "bench", "verify", "serve")
FLAGS = """--task --size --level --weights --out --boxes --detector --box-threshold --nms --no-flip --hand-threshold
--hand-iou --hand-crop --hand-norms --no-vertices --mesh-opacity --keypoint-threshold --pose-formats --style
--foreground --points --background --view --first-frame --last-frame --every --longest-side --detect-every --segment
--json --frames-per-second --levels --variants --reference --runs --memory --port --turns --auth --remove -- -h --"""
WORDS = [word.encode() for word in (*COMMANDS, *FLAGS.split())]
WORDS += [b"nan", b"inf", b"1e999", b"-1", b"9" * 30, b"GiB", b"0.4b:bf16", b"4bit", b"left", b"coco17,csv", b"1,2,3,4"]


def once(data: bytes) -> None:
    lines = data.decode(errors="surrogateescape").split("\n")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SapiensError):
        try:
            options = PARSER.parse_args(lines)
        except SystemExit as end:
            assert not end.code, "an error that is no sentence"
            return
        if options.command in ("predict", "compare"):
            options.boxes_file = None  # is the target boxes.py
            Options(**people_of(options), foreground=options.foreground)
        if options.command == "predict":
            pose_formats.resolved([name.strip() for name in options.pose_formats.split(",")])
            choices_of(options).chosen.count(100)
        if options.command == "compare":
            found = variants.parse_list(options.levels, options.size, options.variants)
            reference = variants.chosen(options.reference, found) if options.reference else None
            variants.check(found, reference)


def seeds() -> Iterator[bytes]:
    yield b"predict\nphoto.jpg\n--task\npose,seg\n--boxes\n30,20,400,780\n--box-threshold\n0.3\n--json"
    yield b"predict\na.mp4\n--view\nside-by-side\n--first-frame\n3\n--last-frame\n9\n--every\n2\n--pose-formats\ncsv"
    yield b"compare\na.jpg\n--variants\n0.4b:fp32,1b:4bit\n--reference\n1b:fp32\n--runs\n2"
    yield b"convert\n--level\n4bit\n--task\npose"
    yield b"models\n--memory\n16GB"
    yield b"serve\n--port\n7861"
    yield b"bench\n--turns\n3"
    yield b"verify\n--task\nseg"
