"""Where the files lie that ship beside the code: in a clone in folders of their own, installed inside the package."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def demo_folder() -> Path:
    """The demo weights: assets/demo of a clone, demo/ of the installed package. It may be gone."""
    return _folder("assets/demo", "demo")


def examples_folder() -> Path:
    """The example pictures: examples/ of a clone or of the installed package. It may be gone."""
    return _folder("examples", "examples")


def how_to_restore(path: Path) -> str | None:
    """How to get a file of the demo weights back that is missing or damaged, as a sentence; None for any other file."""
    if path.parent != demo_folder():
        return None
    clone = _clone()
    if clone is None:
        return "Install the package again: it brings the file along."
    return f"Restore it: run `git checkout -- assets/demo` in {clone}, or download the project again."


def _folder(in_clone: str, in_package: str) -> Path:
    clone = _clone()
    return clone / in_clone if clone else PACKAGE / in_package


def _clone() -> Path | None:
    """The folder of the project whose code is running, or None where the package alone was installed."""
    project = PACKAGE.parent
    installed = (PACKAGE / "demo").is_dir() or not (project / "pyproject.toml").is_file()
    return None if installed else project
