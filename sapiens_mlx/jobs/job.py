"""What a job was asked to do, kept beside its manifests, so that `predict --merge` can tell what is missing."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SapiensError
from ..files import write_bytes
from .index import Work
from .inputs import Found, expand

NAME = "manifest.job.json"


@dataclass(frozen=True)
class Job:
    """INPUTs as typed, the folder they were typed in (from the output folder), and one Work a task."""

    inputs: Sequence[str]
    folder: str
    works: Sequence[Work]

    def found(self, out: Path) -> Iterator[Found]:
        """The files that the inputs stand for now. Raises as inputs.expand does."""
        return expand(self.inputs, os.path.join(out, self.folder), out)

    def keep(self, out: Path) -> None:
        """Writes it into `out`, in the place of the last job's."""
        text = {"inputs": list(self.inputs), "folder": self.folder, "works": [work.row for work in self.works]}
        write_bytes(out / NAME, json.dumps(text, indent=1).encode())

    @classmethod
    def read(cls, out: Path) -> "Job":
        """Raises SapiensError where there is none, or it cannot be read."""
        try:
            text = json.loads((out / NAME).read_bytes())
            return cls(text["inputs"], text["folder"], [Work.of(row) for row in text["works"]])
        except FileNotFoundError as problem:
            raise SapiensError(
                f"{out} holds no job: there is no {NAME} in it. Name the folder that --out named."
            ) from problem
        except (OSError, ValueError, LookupError, TypeError) as problem:
            raise SapiensError(f"{out / NAME} cannot be read ({problem}). Run the job again.") from problem
