"""Starts a tree that build.py made, as a Space of the kind cpu-basic would: a fresh virtual environment with what the
tree asks for, 2 processors, 16 GB.

    python space/start.py TREE

Then open http://127.0.0.1:7860. On Linux. What Spaces add of their own, their own proxy and sign-in, is not here.
"""

import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which

PROCESSORS = 2
# Of address space, a little more than what is used: what fits here fits into a Space.
MEMORY_BYTES = 16 * 2**30


def environment(tree: Path, folder: Path) -> Path:
    """Make a virtual environment in `folder` with what `tree` asks for. Returns its Python: of the version that the
    front matter names where there is one, else the one that runs this."""
    readme = (tree / "README.md").read_text()
    gradio, version = (re.search(rf'^{key}: "?([\d.]+)', readme, re.M)[1] for key in ("sdk_version", "python_version"))
    wanted = which(f"python{version}")
    is_there = wanted and subprocess.run([wanted, "--version"], capture_output=True).returncode == 0
    subprocess.run([wanted if is_there else sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin/python"
    # As the builder of Spaces does it: its Gradio comes with two extras, and asks for the package `spaces` there.
    needed = ["-r", tree / "requirements.txt", f"gradio[oauth,mcp]=={gradio}", "spaces"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *needed], check=True)
    return python


def become(python: Path, tree: Path) -> None:
    """Turn this process into the Space."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:PROCESSORS])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.chdir(tree)
    os.execve(python, [str(python), "app.py"], os.environ | {"SPACE_ID": "owner/name", "SYSTEM": "spaces"})


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3 or sys.argv[1].startswith("-"):
        sys.exit(
            "Name the tree to start: python space/start.py TREE. It is made by python space/build.py OWNER/NAME TREE."
        )
    tree = Path(sys.argv[1]).resolve()
    python = Path(sys.argv[2]) if len(sys.argv) > 2 else environment(tree, Path(tempfile.mkdtemp(prefix="space-")))
    become(python, tree)
