"""The problems a user can mend. Messages are shown as they stand: what is wrong, then what to do about it."""


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


class CancelledError(Exception):
    """The user pressed Stop. Raised out of a progress callback and never shown as an error."""
