"""The report as one HTML file that needs nothing else: data, scripts and style inside, and a policy that lets nothing else in.

What a task or a model said is data only: JSON with every `<`, `>` and `&` escaped, shown as text and never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from concur_batch.results.visible import one_line

SCRIPTS = ("text.js", "theme.js", "timeline.js", "charts.js", "agents.js", "tables.js", "viewer.js", "page.js")
GENERATOR = "concur report"
_WEB = "concur_batch.report"
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def safe_json(content: object) -> str:
    """JSON in ASCII that may stand inside a script element."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&]", lambda found: _UNSAFE[found.group()], text)


def page(title: str, data: Mapping[str, Any], blocks: Sequence[str]) -> Iterator[str]:
    """The file in parts, in order. `blocks` are base64."""
    script = "(() => {\n" + "\n".join(_file(name) for name in SCRIPTS) + "})();\n"
    plotly = _plotly()
    parts = {
        "generator": GENERATOR,
        "title": escape(one_line(title)),
        "policy": escape(_policy((plotly, script))),
        "style": _file("page.css"),
        "plotly": plotly,
        "data": safe_json(data),
        "script": script,
    }
    for place, text in enumerate(_SLOT.split(_file("page.html"))):
        if place % 2 == 0:
            yield text
        elif text == "blocks":
            for number, block in enumerate(blocks):
                yield f'<script type="text/plain" id="block-{number}">{block}</script>\n'
        else:
            yield parts[text]


def is_page(path: Path) -> bool:
    """Whether the file is a page of ours, as its head says. Raises OSError."""
    with path.open("rb") as file:
        return f'<meta name="generator" content="{GENERATOR}">'.encode() in file.read(400)


def room(data: Mapping[str, Any], most: int) -> int:
    """How many characters of blocks fit into a file of `most` bytes beside this data."""
    fixed = sum(len(part.encode()) for part in page("", data, ()))
    return max(0, most - fixed - 20_000)  # what the blocks' own tags and the title take


def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - only a report needs it

    text: str = get_plotlyjs()
    text = text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return text.replace("\r\n", "\n")  # a browser reads line ends so, and hashes what it reads


def _file(name: str) -> str:
    return files(_WEB).joinpath("web", name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    """Scripts by their hashes, style and pictures from inside the file; no request anywhere."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; form-action 'none'; base-uri 'none'"
    )
