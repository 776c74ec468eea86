"""The README.md of a published conversion: one card for its task, size and level, with the hub's front matter."""

import json
from typing import Any

from .. import __version__, zoo
from ..shipped import demo_folder
from .conversion import Conversion

# What each task gives, and the hub's own word for such a task.
TASKS = {
    "seg": ("labels of 29 body parts and kinds of clothing", "image-segmentation"),
    "pose": ("308 keypoints for each person", "keypoint-detection"),
    "normal": ("surface normals", "image-to-image"),
    "pointmap": ("a point in metres for every pixel, and the focal length", "depth-estimation"),
    "albedo": ("colours without light", "image-to-image"),
    "matting": ("people cut out with soft edges", "image-segmentation"),
    "features": ("the features of the pretrained backbone, one vector for each patch", "image-feature-extraction"),
}

CITATION = """```bibtex
@article{khirodkarsapiens2,
  title={Sapiens2},
  author={Khirodkar, Rawal and Wen, He and Martinez, Julieta and Dong, Yuan and Su, Zhaoen and Saito, Shunsuke},
  journal={arXiv preprint arXiv:2604.21681},
  year={2026}
}
```"""


def model_card(conversion: Conversion, checkpoint: zoo.Checkpoint, name: str, licence_file: str) -> str:
    """The card as Markdown. `name` is "owner/name" on the hub, or the folder's name where it is not sent there."""
    sections = [
        _front_matter(conversion, checkpoint, licence_file),
        _opening(conversion, checkpoint),
        _usage(conversion, name),
        _storage(conversion),
        _figures(conversion),
        _licence(checkpoint, licence_file),
        _citation(checkpoint),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(conversion: Conversion, checkpoint: zoo.Checkpoint, licence_file: str) -> str:
    level = zoo.level(conversion.level)
    if checkpoint.bundled:
        lines = ["license: mit"]
    else:
        name = checkpoint.licence.name.lower().replace(" ", "-")
        lines = ["license: other", f"license_name: {name}", f"license_link: {licence_file}"]
    lines.append("library_name: mlx")
    lines.append(f"pipeline_tag: {TASKS[conversion.task][1]}")
    if checkpoint.published:
        lines.append(f"base_model: {checkpoint.repo}")
        if level.bits is not None:
            lines.append("base_model_relation: quantized")
    tags = ["mlx", "sapiens2", "human-vision", conversion.task, conversion.level]
    if checkpoint.bundled:
        tags.append("synthetic-data")
    lines += ["tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _opening(conversion: Conversion, checkpoint: zoo.Checkpoint) -> str:
    source, title = conversion.source, zoo.task_row(conversion.task).title
    if checkpoint.bundled:
        what = f"The demo network of Sapiens2 MLX Studio for {title.lower()}, in the architecture of Meta's Sapiens2"
    else:
        what = (
            "[Sapiens2](https://github.com/facebookresearch/sapiens2), Meta's networks for pictures of people: "
            f"{title.lower()} at size {conversion.size}"
        )
    origin = f"`{source.file}` of [{source.repo}](https://huggingface.co/{source.repo})" if source.repo else ""
    lines = [
        f"# Sapiens2 {conversion.task} {conversion.size}, {conversion.level}, for MLX",
        "",
        f"{what}, stored at {conversion.level} for [MLX](https://github.com/ml-explore/mlx). It gives "
        f"{TASKS[conversion.task][0]}. Converted by Sapiens2 MLX Studio {__version__} from "
        f"{origin or f'`{source.file}`'} ({source.bytes:,} bytes, SHA-256 `{source.sha256}`).",
    ]
    if checkpoint.notice:
        lines += ["", f"**{checkpoint.notice}**"]
    return "\n".join(lines)


def _usage(conversion: Conversion, name: str) -> str:
    task, size, level = conversion.task, conversion.size, conversion.level
    folder = name.rpartition("/")[2]
    download = f"{download_command(name)}\n" if "/" in name else ""
    predict = f"python -m sapiens_mlx predict photo.jpg --task {task} --size {size} --level {level}"
    detector = ""
    if task == "pose":
        detector = (
            "\n\nPose needs to know where the people are: the person detector comes on its own, or give "
            "`--boxes x1,y1,x2,y2` (`boxes_xyxy=[[x1, y1, x2, y2]]` in Python) in photo pixels."
        )
    return f"""## Usage

With Sapiens2 MLX Studio; `{folder}` is this folder, downloaded.

```sh
{download}{predict} --weights {folder} --out results
```

```python
import sapiens_mlx as sm

predictor = sm.load("{task}", "{size}", level="{level}", weights="{folder}")
result = predictor("photo.jpg")
result.save("results", stem="photo")
```{detector}"""


def download_command(repo: str) -> str:
    """The line of a card that names its repository."""
    return f"hf download {repo} --local-dir {repo.rpartition('/')[2]}"


def _storage(conversion: Conversion) -> str:
    level = zoo.level(conversion.level)
    size = f"`model.safetensors` has {conversion.model_bytes:,} bytes, {_ratio(conversion)} of its source's size."
    if level.bits is None:
        return f"## What is quantized\n\nNothing: every tensor is stored as {level.dtype}. {size}"
    scale = "a 16-bit scale and a 16-bit bias" if level.mode == "affine" else "an 8-bit scale"
    branch = " and of the scale branch" if conversion.task == "pointmap" else ""
    return (
        f"## What is quantized\n\nThe Linear layers of the blocks{branch}, {100 * conversion.quantized_share:.1f} % of "
        f"all weights: {level.bits} bits each in MLX's mode `{level.mode}`, with {scale} for every "
        f"{level.group_size}. Convolutions, norms, tokens and the patch projection are not quantized; they are stored "
        f"as {level.dtype}. {size}"
    )


def _ratio(conversion: Conversion) -> str:
    return f"{100 * conversion.model_bytes / conversion.source.bytes:.0f} %"


def _figures(conversion: Conversion) -> str:
    """The measured rows of this task and size, this level's in bold; empty where nothing was measured."""
    path = demo_folder() / "levels.json"
    rows = json.loads(path.read_text()) if path.is_file() else []
    rows = [row for row in rows if (row["task"], row["size"]) == (conversion.task, conversion.size)]
    if not rows:
        return ""
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in ("task", "size", "weights")))
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in rows:
        mark = "**" if row["level"] == conversion.level else ""
        lines.append(f"| {' | '.join(f'{mark}{_cell(row.get(column))}{mark}' for column in columns)} |")
    meaning = (
        "On drawn scenes that nothing was trained on. Figures with names in `fp32_` are against the same network at "
        "fp32, the others against the ground truth; shares and errors are 0..1."
    )
    return "\n".join(["## Measured", "", *lines, "", meaning])


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _licence(checkpoint: zoo.Checkpoint, licence_file: str) -> str:
    if checkpoint.bundled:
        return (
            f"## Licence\n\n{checkpoint.licence.name}, see [{licence_file}]({licence_file}). The Sapiens2 License does "
            "not apply: no weights of Meta's went into these, and no photograph."
        )
    return (
        f"## Licence\n\nDerived from Sapiens2 weights, so the {checkpoint.licence.name} applies: see "
        f"[{licence_file}]({licence_file}), which has to go along wherever these files go. Among others it allows no "
        "surveillance and no biometric processing. The files are not made or endorsed by Meta or Apple."
    )


def _citation(checkpoint: zoo.Checkpoint) -> str:
    whose = "The architecture is that of Sapiens2:" if checkpoint.bundled else "Work that uses Sapiens2 cites it:"
    return f"## Citation\n\n{whose}\n\n{CITATION}"
