"""The problems a user can mend. Messages are shown as they stand: what is wrong, then what to do about it."""

import re


class SapiensError(ValueError):
    """Something the user can mend: the command line prints it and exits with 2, the page shows it as a notice."""


class ImageError(SapiensError):
    """The photo cannot be read, or is outside the limits of image.py."""


class ClipError(SapiensError):
    """The video cannot be read, or there is no frame in it that was asked for."""


class BoxError(SapiensError):
    """A person box is empty, reversed, outside the photo or not a number."""


class WeightsError(SapiensError):
    """A checkpoint is damaged, of another task or size, or its tensors do not fit the network."""


class LevelError(WeightsError):
    """A level cannot store a layer of the checkpoint. The checkpoint is sound, and the message names other levels."""


class WeightsMissingError(WeightsError):
    """No source of the wanted weights could be found or downloaded."""


class LicencesError(WeightsMissingError):
    """The weights could be downloaded once their licences are accepted: see weights/consent.py."""


class MemoryFullError(SapiensError):
    """There was not enough memory for a network, or for what it gave. See memory.py, which alone raises it."""


class CancelledError(Exception):
    """The user pressed Stop. Raised out of a progress callback and never shown as an error."""


# How MLX, which has only RuntimeErrors, tells of too little memory: the allocators of Metal and CUDA ("[malloc] Unable
# to allocate", "[metal::malloc] Attempting to allocate", "[metal::malloc] Resource limit"), Metal for work on its way
# ("Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"), and CUDA ("out of memory").
_MEMORY_FULL = re.compile(r"\[(metal::)?malloc\]|insufficient memory|outofmemory|out of memory", re.IGNORECASE)
_CV2_NO_MEMORY = -4  # OpenCV's code of such an error


def is_memory_full(problem: BaseException) -> bool:
    """Whether a problem is too little memory: MLX's, NumPy's or OpenCV's."""
    if isinstance(problem, RuntimeError):
        return _MEMORY_FULL.search(str(problem)) is not None
    of_opencv = type(problem).__module__ == "cv2" and getattr(problem, "code", None) == _CV2_NO_MEMORY
    return isinstance(problem, MemoryError) or of_opencv
