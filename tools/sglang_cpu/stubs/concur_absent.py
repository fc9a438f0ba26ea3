"""Stands in for Triton and torchvision, which serving a text model on a CPU imports and never uses.

SGLang and PyTorch define Triton kernels while they are imported, and SGLang names torchvision's transforms. Here every such
name exists, so that those modules can be imported. A kernel that is really launched fails at once: it stays a plain function,
which cannot be indexed by a grid. Where the real packages are installed they are found first and this file does nothing.

A `.pth` file imports this at every start of the environment's Python, so it imports only what Python has loaded anyway.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

ABSENT = ("triton", "torchvision")


class Constants(type):
    """Gives a placeholder class its members: `InterpolationMode.NEAREST` is the text "NEAREST"."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class Placeholder(Exception, metaclass=Constants):  # an exception, so that `except triton.….OutOfResources` is valid as well
    """What every capitalised name is: a class to inherit from, to annotate with, to make or to catch."""

    def __init__(self, *args, **options):
        super().__init__(*args)
        self.__dict__.update(options)

    def __class_getitem__(cls, item):
        return cls


class AbsentModule(ModuleType):
    """A module with every attribute: a placeholder class for a capitalised name, such a module again for any other."""

    __version__ = "0"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].isupper():
            value = Constants(name, (Placeholder,), {"__module__": self.__name__})
        else:
            value = sys.modules.get(f"{self.__name__}.{name}") or AbsentModule(f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value

    def __call__(self, *args, **options):
        """As a decorator, bare (`@triton.jit`) or with options: the function as it is."""
        if len(args) == 1 and callable(args[0]) and not options:
            return args[0]
        return lambda function: function

    def __iter__(self):
        return iter(())


class AbsentFinder:
    """Answers for `import triton.<anything>`; asked last, so that an installed package wins."""

    def find_spec(self, fullname, path=None, target=None):  # noqa: ARG002
        """A spec for our names, None for all others."""
        return ModuleSpec(fullname, self, is_package=True) if fullname.partition(".")[0] in ABSENT else None

    def create_module(self, spec):
        """The module that has everything."""
        return AbsentModule(spec.name)

    def exec_module(self, module):
        """The two functions that host code calls while it is imported; the rest comes into being when asked for."""
        if module.__name__ == "triton":
            module.cdiv = lambda dividend, divisor: -(-dividend // divisor)
            module.next_power_of_2 = lambda number: 1 << max(0, number - 1).bit_length()


sys.meta_path.append(AbsentFinder())
