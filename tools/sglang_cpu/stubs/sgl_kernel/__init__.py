"""Stands in for SGLang's compiled kernels on a CPU.

SGLang imports a few `*_cpu` kernels by name although the attention backend `torch_native` never calls them. They exist here
and refuse to be called; other names do not exist. Scheduler, radix cache and HTTP server are not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__version__ = "0.4.10"


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith("__") or not name.endswith("_cpu"):
        raise AttributeError(name)

    def refuse(*_args: Any, **_options: Any) -> None:
        raise NotImplementedError(f"{name} is a compiled kernel that this CPU set-up leaves out")

    return refuse
