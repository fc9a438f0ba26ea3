"""Write the tables of docs/journal.md from the record classes: their docstrings, fields and comments.

`python tools/journal_doc.py` rewrites the tables; with `--check` it exits with 1 where the page is behind the code.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import msgspec

from concur_batch import records

PAGE = Path(__file__).resolve().parent.parent / "docs" / "journal.md"
BEGIN, END = "<!-- records:begin -->", "<!-- records:end -->"


def _plain_type(source: str) -> str:
    return re.sub(r"_(Epoch|Seconds)\b", "float", source).replace("Message", "object").replace("|", "or")


def _table(kind: type[records.Record]) -> list[str]:
    lines = [f"### `{kind.__struct_config__.tag}`", "", inspect.getdoc(kind) or "", ""]
    fields = re.findall(r"^    (\w+): ([^=#\n]+?)(?: = ([^#\n]+?))?(?:\s+# (.*))?$", inspect.getsource(kind), flags=re.MULTILINE)
    if fields:
        lines += ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, kind_of, default, comment in fields:
        default_of = f"`{default.strip()}`" if default else ""
        lines.append(f"| `{name}` | {_plain_type(kind_of)} | {default_of} | {comment.replace('|', 'or')} |")
    return [*lines, ""]


def tables() -> str:
    """All kinds, in the order of `AnyRecord`."""
    kinds = [info.cls for info in msgspec.inspect.type_info(records.AnyRecord).types]  # type: ignore[attr-defined]
    kinds.sort(key=lambda kind: list(vars(records).values()).index(kind))
    return "\n".join(line for kind in kinds for line in _table(kind))


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    fresh = f"{head}{BEGIN}\n\n{tables()}\n{END}{tail}"
    if "--check" in sys.argv:
        return int(fresh != page)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
