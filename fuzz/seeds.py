"""Writes a target's sound inputs and its words for libFuzzer: `python -m fuzz.seeds NAME FOLDER FILE`."""

import sys
from pathlib import Path

from fuzz.one import target


def main() -> None:
    name, folder, words = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    module = target(name)
    for number, data in enumerate(module.seeds()):
        (folder / f"seed-{number:02}").write_bytes(data)
    lines = ('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in module.WORDS)
    words.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
