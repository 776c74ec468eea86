"""The parts of README.md and docs/ that benchmarks write, between two comments."""

from pathlib import Path

from sapiens_mlx import files

REPOSITORY = Path(__file__).resolve().parents[1]
README, CHOOSING = REPOSITORY / "README.md", REPOSITORY / "docs/choosing.md"


def fill(page: Path, start: str, end: str, text: str) -> None:
    """Puts `text` in place of what stands between the lines `start` and `end`."""
    before, rest = page.read_text().split(start)
    files.write_bytes(page, f"{before}{start}\n\n{text}\n\n{end}{rest.split(end)[1]}".encode())
