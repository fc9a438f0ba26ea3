"""Put on PYTHONPATH of a real SGLang server, it writes down what the scheduler is given and what it decides.

The server itself stays as it is: Python imports this module at its start, and it waits until the scheduler's module is imported
to wrap a few of its methods. Nothing is written unless CONCUR_DECISIONS names a file.
"""

import importlib.abc
import importlib.machinery
import os
import sys

SCHEDULER = "sglang.srt.managers.scheduler"


class _WhenLoaded(importlib.abc.Loader):
    """The loader that was found, and then the recorder."""

    def __init__(self, found):
        self._found = found

    def create_module(self, spec):
        return self._found.create_module(spec)

    def exec_module(self, module):
        self._found.exec_module(module)
        from recorder import attach  # noqa: PLC0415 - in the one process that needs it

        attach(module)


class _Watch(importlib.abc.MetaPathFinder):
    """Looks for the scheduler's module as everybody does, and has the recorder follow it."""

    def find_spec(self, name, path, target=None):
        if name != SCHEDULER:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WhenLoaded(spec.loader)
        return spec


if os.environ.get("CONCUR_DECISIONS"):
    sys.meta_path.insert(0, _Watch())
