"""No test fails for being slow: Hypothesis would fail an example that takes 200 ms on a machine that is busy."""

from hypothesis import settings

settings.register_profile("s3sink", deadline=None)
settings.load_profile("s3sink")
