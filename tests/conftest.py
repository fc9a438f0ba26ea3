"""For all tests."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how long an example takes says more about the machine than about us
settings.load_profile("untimed")
