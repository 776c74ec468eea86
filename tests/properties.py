"""How hypothesis runs here: few examples, always the same; with EXAMPLES=5000 in the environment as many others."""

import os

from hypothesis import HealthCheck, settings

ASKED = os.environ.get("EXAMPLES")
settings.register_profile(
    "here",
    max_examples=int(ASKED or 60),
    derandomize=ASKED is None,
    deadline=None,  # a busy machine is slow
    database=None,  # no files beside the sources
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.load_profile("here")
