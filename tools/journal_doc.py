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


def _table(kind: type[msgspec.Struct]) -> list[str]:
    lines = [f"### `{kind.__struct_config__.tag or kind.__name__}`", "", inspect.getdoc(kind) or "", ""]
    fields = re.findall(r"^    (\w+): ([^=#\n]+?)(?: = ([^#\n]+?))?(?:\s+# (.*))?$", inspect.getsource(kind), flags=re.MULTILINE)
    if fields:
        lines += ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    written = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    for name, kind_of, default, comment in fields:
        if default.strip() == "(":
            raise SystemExit(f"{kind.__name__}.{name}: its default and comment should stand on its own line")
        default_of = f"`{default.strip()}`" if default else ""
        lines.append(f"| `{written[name]}` | {_plain_type(kind_of)} | {default_of} | {comment.replace('|', 'or')} |")
    return [*lines, ""]


def tables() -> str:
    """All kinds and what stands in their fields, in the order of the code."""
    classes = [value for value in vars(records).values() if inspect.isclass(value) and issubclass(value, msgspec.Struct)]
    kinds = [kind for kind in classes if kind is not records.Record]
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
