"""One target in this process: `python -m fuzz.one NAME [libFuzzer's arguments]`, or one input: `NAME --again FILE`.

The second ends with 1 where the input is still a find: an exception, more than 2 s of processor time, or 1 GB.
"""

import importlib
import sys
import time
from pathlib import Path
from types import ModuleType

TESTS = Path(__file__).parents[1] / "tests"
READERS = ["sapiens_mlx", "PIL", "zipfile", "pickletools", "pickle", "json", "csv", "argparse", "safetensors"]


def target(name: str) -> ModuleType:
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    return importlib.import_module(f"fuzz.targets.{name}")


def again(name: str, path: Path) -> None:
    """Raises what the target raises; AssertionError where it took too long or too much memory."""
    once, data = target(name).once, path.read_bytes()
    import limited  # of the tests, where the limits are

    start_s = time.process_time()
    once(data)
    took_s = time.process_time() - start_s
    peak_bytes = limited.peak_bytes()
    most_s = limited.MOST_S * (limited.slowness() if took_s > limited.MOST_S else 1)
    assert took_s <= most_s, f"{took_s:.1f} s of processor time"
    assert peak_bytes <= limited.MOST_BYTES, f"{peak_bytes / 1e6:.0f} MB"


def main() -> None:
    name, *arguments = sys.argv[1:]
    if arguments[:1] == ["--again"]:
        return again(name, Path(arguments[1]))
    import atheris

    import sapiens_mlx  # noqa: F401  first, for its BLAS; without instruments

    with atheris.instrument_imports(include=READERS):
        module = target(name)
    atheris.Setup([sys.argv[0], *arguments], module.once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
