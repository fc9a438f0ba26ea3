"""Colours that stand in one chart can be told apart, also by people who do not see red or green, in both themes."""

import itertools
import re
from importlib.resources import files

import pytest

CSS = files("concur_batch.report").joinpath("web", "page.css").read_text(encoding="utf-8")
CHARTS = {
    "KV cache": ["blue", "sky", "pale"],
    "prefix cache": ["green", "vermillion"],
    "limit": ["ink", "blue"],
    "agents": ["blue", "amber", "grey"],
    "phases": ["grey", "amber", "purple", "blue", "sky", "vermillion"],
    "runs": ["blue", "vermillion", "green", "amber", "purple"],
}
# Machado, Oliveira and Fernandes (2009), severity 1.
SIGHT = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
}


def themes():
    dark_at, end = CSS.index("@media (prefers-color-scheme: dark)"), CSS.index("* { box-sizing")
    light = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", CSS[:dark_at]))
    paper = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", CSS[CSS.index("@media print") :]))
    return {"light": light, "dark": light | dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", CSS[dark_at:end])), "paper": paper}


def linear(colour):
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]


def lab(rgb):
    """CIE L*a*b* of linear sRGB."""
    rows = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
    xyz = [max(0.0, sum(a * b for a, b in zip(row, rgb, strict=True))) for row in rows]
    x, y, z = (
        one ** (1 / 3) if one > 0.008856 else 7.787 * one + 16 / 116 for one in (xyz[0] / 0.95047, xyz[1], xyz[2] / 1.08883)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour, sight):
    return lab([sum(a * b for a, b in zip(row, linear(colour), strict=True)) for row in SIGHT[sight]])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("theme", ["light", "dark", "paper"])
def test_colours_of_one_chart_differ(theme, chart, sight):
    colours = themes()[theme]
    for one, other in itertools.combinations(CHARTS[chart], 2):
        apart = sum((a - b) ** 2 for a, b in zip(seen(colours[one], sight), seen(colours[other], sight), strict=True)) ** 0.5
        assert apart > 20, (one, other, apart)  # a difference of 2 can just be seen side by side
