"""Stands in for packages that SGLang imports and that serving Qwen3 with Triton attention never uses.

Every name of such a package can be imported; what is called fails at once and says which name it was.
"""

import importlib.abc
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


class LeftOut(ModuleType):
    """A module with every attribute: a function that fails."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        full = f"{self.__name__}.{name}"

        def absent(*_arguments, **_options):
            raise NotImplementedError(f"{full} is left out of this installation")

        setattr(self, name, absent)
        return absent


class LeftOutModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers for every module within one package; asked last."""

    def __init__(self, package, missing):
        self._inside = f"{package}."
        self._missing = {f"{package}.{name}" for name in missing}

    def find_spec(self, fullname, path=None, target=None):  # noqa: ARG002 - the protocol's
        """A spec for our names, None for all others."""
        ours = fullname.startswith(self._inside) and fullname not in self._missing
        return ModuleSpec(fullname, self, is_package=True) if ours else None

    def create_module(self, spec):
        """The module that has everything."""
        return LeftOut(spec.name)

    def exec_module(self, module):
        """Nothing is left to do."""


def stand_in(package, missing=()):
    """Make the package under way, and all modules that are imported from it, ones that have everything. Those of `missing` cannot
    be imported: whoever asks for them has another way.
    """
    sys.modules[package].__class__ = LeftOut
    sys.meta_path.append(LeftOutModules(package, missing))
