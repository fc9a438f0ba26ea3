import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.jobs.faults import Fault
from concur_batch.jobs.lines import Located, decode_row, read_lines


def rows_of(data: bytes) -> list[Located | Fault]:
    return list(read_lines(io.BytesIO(data), "f"))


def test_rows_come_with_line_and_offset_and_blank_lines_are_passed_over():
    rows = rows_of(b'{"a":1}\n\n  \n{"a":2}')
    assert rows == [Located(1, {"a": 1}, b'{"a":1}', 0), Located(4, {"a": 2}, b'{"a":2}', 12)]


def test_a_byte_order_mark_is_no_part_of_the_first_row():
    data = b'\xef\xbb\xbf{"a":1}\r\n{"a":2}\r\n'
    first, second = rows_of(data)
    assert (first.row, second.row) == ({"a": 1}, {"a": 2})
    assert data[first.offset :].startswith(first.raw)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"a": 1,}', "broken JSON at column"),
        (b'{"a"', "broken JSON at column 5"),
        (b'{"a":1} x', "broken JSON at column"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'\xff{"a": 1}', "not UTF-8"),
        (b'{"a": "\\ud83d"}', "half a surrogate pair"),
        (b'{"a', "broken JSON at column 2: unterminated string starting here; each line should be"),
        (b"\0\0\0\0", "holds NUL bytes, as UTF-16 text and damaged files do; save the file as UTF-8, or take the line out"),
        ('{"a": 1}'.encode("utf-16-le"), "holds NUL bytes, as UTF-16 text"),
        (b'{"a": ' + b"9" * 5000 + b"}", "holds a number of more than 4,300 digits; write it as text"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "is a list; each line should be one JSON object"),
        (b"3", "is a number"),
        (b"null", "is null"),
    ],
)
def test_what_is_broken_is_said(raw, text):
    fault = decode_row(raw, "f:7")
    assert isinstance(fault, Fault)
    assert fault.where == "f:7"
    assert text in fault.text


def test_a_number_that_is_too_large_is_named_with_its_field():
    fault = decode_row(b'{"a": 1.5, "metadata": {"sizes": ["1e999", 2, -1e999]}}', "f:7")
    assert str(fault) == "f:7: metadata.sizes.2: is -1e999, which is beyond what a number can hold; write it as text"
    assert "1…, which is" in str(decode_row(b'{"a": ' + b"1" * 500 + b".0}", "f:7"))


@pytest.mark.parametrize(
    "joined", [b'{"a":1}\n\xef\xbb\xbf{"a":2}\n', b'{"a":0}\n{"a":1}\xef\xbb\xbf{"a":2}\n', b'{"a":1}\n\xef\xbb\xbf']
)
def test_a_byte_order_mark_further_on_is_named(joined):
    first, fault = rows_of(joined)
    assert isinstance(first, Located)
    assert str(fault).startswith("f:2: holds a byte order mark, which may stand only at the start of a file")


def test_a_byte_order_mark_within_text_is_text():
    (row,) = rows_of('{"a":"\ufeff"}'.encode())
    assert row.row == {"a": "\ufeff"}


def test_utf16_is_told_once():
    assert [str(fault) for fault in rows_of('{"a":1}\n{"a":2}'.encode("utf-16"))] == [
        "f:1: is UTF-16 text; save the file as UTF-8"
    ]


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3), max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
)
def test_every_row_stands_at_its_offset(rows, end):
    data = end.join(msgspec.json.encode(row) for row in rows)
    read = rows_of(data)
    assert [item.row for item in read] == rows
    assert all(data[item.offset :].startswith(item.raw) for item in read)
