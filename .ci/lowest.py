"""The oldest versions that the given requirement files allow, as constraints for pip: lowest.py FILE... > FILE"""

import re
import sys
from pathlib import Path

FLOOR = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?[>=]=([\w.]+)")  # name[extras]>=version or name[extras]==version


def lowest(text: str) -> list[str]:
    """`name==version` for each line of a requirement file that has a floor."""
    return sorted({"{}=={}".format(*found.groups()) for found in map(FLOOR.match, text.splitlines()) if found})


if __name__ == "__main__":
    print("\n".join(line for path in sys.argv[1:] for line in lowest(Path(path).read_text())))
