from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from concur_batch.toolbox.docstring import parse_docstring


def test_google_style_is_taken_apart() -> None:
    text = """Find a city.

    It may be slow.

    Args:
        name (str): What it is called,
            in any language: also Greek.
        *limit: How many.

    Returns:
        A list.

    Raises:
        ValueError: never.
    """
    description, arguments = parse_docstring(text)
    assert description == "Find a city.\n\nIt may be slow.\n\nReturns:\n    A list."
    assert arguments == {"name": "What it is called, in any language: also Greek.", "limit": "How many."}


def test_plain_text_is_the_description() -> None:
    assert parse_docstring("Adds: two\nnumbers.") == ("Adds: two\nnumbers.", {})
    assert parse_docstring(None) == ("", {})


@given(st.text(alphabet="aA: \n*()rgs"))
def test_any_text_is_taken(text: str) -> None:
    parse_docstring("Args:\n" + text)
    parse_docstring(text)
