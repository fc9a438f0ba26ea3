"""Stands in for SGLang: no model, but a server process with workers. Only starting it may import it."""

import sys

if "-c" in sys.argv:
    raise AssertionError("whether SGLang is there must be found out without importing it: that takes a dozen seconds")
