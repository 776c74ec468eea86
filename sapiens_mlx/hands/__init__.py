"""Hands in 3-D by WiLoR, which the optional package wilor-mlx runs: its detector and its network, our way in and out.

find.py finds hands, crops.py cuts them out, network.py is the two networks in memory, camera.py turns a crop's camera
into the photo's, weights.py and mano.py get the files.
"""

from importlib.util import find_spec

from ..errors import SapiensError

REQUIREMENT = "wilor-mlx>=0.3.1,<0.4"  # the extra "hands" of pyproject.toml


def check_installed() -> None:
    """Raises SapiensError, with the line that installs it, where wilor-mlx is not there or cannot be used."""
    remedy = f'Run: pip install ".[hands]" (or: pip install "{REQUIREMENT}").'
    try:
        there = find_spec("wilor_mlx") is not None
    except ValueError:  # of a module that is there and says nothing of itself
        there = False
    if not there:
        raise SapiensError(f"Hands need the package wilor-mlx, which is not installed. {remedy}")
    try:
        from wilor_mlx.detector import HandDetector  # noqa: F401
        from wilor_mlx.model import WiLoR  # noqa: F401
    except ImportError as problem:
        line = (str(problem).splitlines() or [type(problem).__name__])[0][:200]
        raise SapiensError(f"Hands need another version of the package wilor-mlx ({line}). {remedy}") from problem
