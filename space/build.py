"""Builds the tree that a Hugging Face Space is made of, from the files that git has of this clone.

    python space/build.py OWNER/NAME FOLDER

OWNER/NAME is the Space's. Upload what comes: hf upload OWNER/NAME FOLDER . --repo-type space
"""

import argparse
import re
import shutil
import subprocess
from pathlib import Path
from string import Template

PROJECT = Path(__file__).resolve().parents[1]
# pyproject.toml tells the program that its weights and examples lie as in a clone; the rest is what a Space reads.
PARTS = ("app.py", "sapiens_mlx", "assets/demo", "examples", "pyproject.toml", "LICENSE", "NOTICE")
READ_BY_SPACE = ("requirements.txt", "packages.txt")
# The hub takes binary files by its large-file storage only.
STORED_APART = ("*.safetensors", "*.jpg", "*.mp4", "*.webp")


def build(space: str, folder: Path) -> Path:
    """Fill `folder`, which must be new or empty, and return it.

    Raises:
        ValueError: a name of another form, or a folder with something in it.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", space):
        raise ValueError(f"A Space's name is OWNER/NAME, not {space}.")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"There is something in {folder}. Give a new folder.")
    for name in _files(*PARTS, *READ_BY_SPACE):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, target)
    shutil.copyfile(PROJECT / "space/thumbnail.jpg", folder / "thumbnail.jpg")
    readme = Template((PROJECT / "space/README.md").read_text())
    (folder / "README.md").write_text(readme.substitute(space=space, gradio=gradio_version()))
    lines = [f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in STORED_APART]
    (folder / ".gitattributes").write_text("".join(lines))
    return folder


def gradio_version() -> str:
    """The one that requirements.txt pins, which a Space installs by its sdk_version."""
    return re.search(r"^gradio==(\S+)$", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)[1]


def _files(*parts: str) -> list[str]:
    command = ["git", "-C", str(PROJECT), "ls-files", "-z", "--", *parts]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if name]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Builds the tree that a Hugging Face Space is made of.")
    parser.add_argument("space", metavar="OWNER/NAME")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    try:
        print(build(options.space, options.folder))
    except ValueError as problem:
        parser.error(str(problem))
