"""Licences that have to be accepted before weights are downloaded, and which were: remembered in our cache.

Those of Sapiens2 are named wherever its weights are chosen, and the hub asks for them itself. Those of hands nobody
asks for: so that it is done here, once on a machine.
"""

import json
from pathlib import Path

from .. import zoo
from ..errors import LicencesError
from ..files import output_folder, write_bytes
from .conversion import cache_folder

FILE = "accepted_licences.json"
FORMAT = 1


def file() -> Path:
    """What remembers it. Without it the next download asks again."""
    return cache_folder() / FILE


def is_accepted() -> bool:
    """Whether the licences of hands were accepted on this machine, all that there are today."""
    try:
        content = json.loads(file().read_bytes())
        accepted = content["accepted"] if content["format"] == FORMAT else []
        return {licence.url for licence in zoo.HANDS_LICENCES.values()} <= set(accepted)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def accept() -> None:
    """Remembers that they are. Raises SapiensError where that cannot be written."""
    urls = [licence.url for licence in zoo.HANDS_LICENCES.values()]
    output_folder(cache_folder())
    write_bytes(file(), json.dumps({"format": FORMAT, "accepted": urls}, indent=1).encode())


def lines() -> list[str]:
    """What there is to accept, each licence as a line for people."""
    return [f"{what}: {licence.name}, {licence.url}" for what, licence in zoo.HANDS_LICENCES.items()]


def sentence(when: str) -> str:
    """That they are to be accepted, and `when`."""
    return f"The weights for hands have licences of their own, to be accepted {when}: {'; '.join(lines())}."


def check() -> None:
    """Raises LicencesError unless they are accepted."""
    if not is_accepted():
        raise LicencesError(
            f"{sentence('before the first download')} Add --accept-licences, accept them in the tab Studio of the "
            "page, or in Python call sapiens_mlx.weights.consent.accept()."
        )
