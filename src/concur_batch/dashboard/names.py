"""Engines' addresses in few cells: what tells them apart stays. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len

from concur_batch.dashboard.scene import Scene

_LABELS = re.compile(r"(?=[.:/])")


def named(scene: Scene, cells: int) -> dict[str, str]:
    """Every engine's address without the scheme, in exactly so many cells, by its name."""
    names = list(scene.state.engines)
    shown = distinct([scene.clean(name.partition("://")[2] or name) for name in names], cells, scene.sign("…", "~"))
    return {name: scene.fit(text, cells) for name, text in zip(names, shown, strict=True)}


def distinct(names: Sequence[str], cells: int, sign: str) -> list[str]:
    """The same in so many cells at most. If one is longer, labels that all of them begin or end with are dropped from all, but for
    what fits; `sign` stands for what was dropped.
    """
    if all(cell_len(name) <= cells for name in names):
        return list(names)
    labels = [_LABELS.split(name) for name in names]
    first, last = _alike(labels)
    ways = [(0, last), (first, 0), (first, last)]
    for begin, end in ways:
        found = [_without(one, begin, end, sign) for one in labels]
        if all(cell_len(name) <= cells for name in found):
            return found
    whole = ["".join(one[first : len(one) - last]) for one in labels]
    least = min(map(len, whole))
    if _same(whole, least) >= _same([name[::-1] for name in whole], least):
        return [_tail(name, cells, sign) for name in found]
    return [_tail(name[::-1], cells, sign)[::-1] for name in found]


def _alike(labels: Sequence[Sequence[str]]) -> tuple[int, int]:
    """How many labels all begin with, and how many all end with; one is left of each."""
    most = min(map(len, labels)) - 1
    first = _same(labels, most)
    return first, _same([one[::-1] for one in labels], most - first)


def _same(labels: Sequence[Sequence[str]], most: int) -> int:
    return next((i for i in range(most) if len({one[i] for one in labels}) > 1), most) if len(labels) > 1 else 0


def _without(labels: Sequence[str], first: int, last: int, sign: str) -> str:
    left = "".join(labels[first : len(labels) - last])
    return (sign + left.lstrip("./") if first else left) + (sign if last else "")


def _tail(name: str, cells: int, sign: str) -> str:
    if cell_len(name) <= cells:
        return name
    while name and cell_len(name) > cells - cell_len(sign):
        name = name[1:]
    return sign + name
