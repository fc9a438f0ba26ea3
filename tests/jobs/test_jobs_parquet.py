import datetime
import decimal
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from concur_batch.jobs import parquet as parquet_rows
from concur_batch.jobs.faults import Fault
from concur_batch.jobs.parquet import read_parquet, without_nulls


@pytest.fixture
def parquet(tmp_path):
    def write(table):
        path = tmp_path / "a.parquet"
        pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pylist(table), path, row_group_size=700)
        return path

    return write


def rows(path, **options):
    return [item.row for item in read_parquet(path, "a", **options)]


def test_rows_come_numbered_and_without_nulls(parquet):
    messages = [
        {"role": "user", "content": "x", "tool_calls": None},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    ]
    path = parquet([{"id": "a", "messages": messages, "system": None}, {"id": "b", "messages": messages[:1], "system": "s"}])
    read = list(read_parquet(path, "a"))
    assert [item.line for item in read] == [1, 2]
    assert read[0].row == {
        "id": "a",
        "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "1"}]}],
    }
    assert read[1].row == {"id": "b", "messages": [{"role": "user", "content": "x"}], "system": "s"}


def test_rows_of_many_batches_keep_their_order(parquet):
    path = parquet([{"id": str(i), "metadata": {"even": None if i % 2 else i}} for i in range(1500)])
    read = list(read_parquet(path, "a"))
    assert [item.row["id"] for item in read] == [str(i) for i in range(1500)]
    assert [item.line for item in read] == list(range(1, 1501))
    assert read[1].row["metadata"] == {}
    assert read[1498].row["metadata"] == {"even": 1498}


def test_large_rows_are_read_few_at_a_time(parquet, monkeypatch):
    monkeypatch.setattr(parquet_rows, "_BATCH_BYTES", 10_000)
    sizes = []
    find_nulls = parquet_rows._has_nested_nulls
    monkeypatch.setattr(
        parquet_rows, "_has_nested_nulls", lambda column, **x: sizes.append(len(column)) or find_nulls(column, **x)
    )
    assert len(rows(parquet([{"prompt": f"{i:1000}"} for i in range(30)]))) == 30
    assert (sum(sizes), max(sizes)) == (30, 9)
    sizes.clear()
    assert len(rows(parquet([{"prompt": f"{i:20000}"} for i in range(3)]))) == 3
    assert sizes == [1, 1, 1]


DICTIONARY = pa.dictionary(pa.int32(), pa.string())


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.list_(DICTIONARY), ["user"]),
        (pa.struct([("role", DICTIONARY)]), {"role": "user"}),
        (pa.list_(pa.struct([("role", DICTIONARY)])), [{"role": "user"}]),
    ],
)
def test_words_of_a_dictionary_within_lists_and_structs_are_read_from_several_row_groups(parquet, kind, value):
    path = parquet(pa.Table.from_pylist([{"x": value}] * 1500, schema=pa.schema([("x", kind)])))
    assert pq.ParquetFile(path).num_row_groups > 1
    assert rows(path) == [{"x": value}] * 1500


def test_a_field_of_a_struct_that_is_nan_is_absent_as_a_column_is(parquet):
    nan = float("nan")
    found = rows(
        parquet(
            [
                {"limits": {"max_steps": 2.0}, "script": [{"tokens": 1.0}]},
                {"limits": {"max_steps": nan}, "script": [{"tokens": nan}]},
            ]
        )
    )
    assert found == [{"limits": {"max_steps": 2.0}, "script": [{"tokens": 1.0}]}, {"limits": {}, "script": [{}]}]


@pytest.mark.parametrize("column", ["metadata", "target", "ours"])
def test_a_nan_in_what_is_handed_on_stays(parquet, column):
    (found,) = rows(parquet([{column: {"score": float("nan"), "note": None}}]))
    assert list(found[column]) == ["score"]
    assert math.isnan(found[column]["score"])


@pytest.mark.parametrize(
    ("column", "sound", "infinite", "field"),
    [
        ("target", 1.0, math.inf, "target"),
        ("ours", 1.0, -math.inf, "ours"),
        ("metadata", {"scores": [1.0]}, {"scores": [0.0, math.inf]}, "metadata.scores.1"),
    ],
)
def test_an_infinite_number_is_refused_as_in_json_lines(parquet, column, sound, infinite, field):
    first, fault, last = read_parquet(parquet([{column: sound}, {column: infinite}, {column: sound}]), "a")
    assert first.row == last.row == {column: sound}
    assert str(fault) == f"a:row 2: {field}: is infinite, which is no JSON number; write null or leave the field out"


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [
        (pa.struct([("m", pa.map_(pa.string(), pa.float64()))]), {"m": [("k", math.inf)]}, "ours.m.k"),
        (pa.list_(pa.map_(pa.string(), pa.float64())), [[("j", 1.0), ("k", math.inf)]], "ours.0.k"),
        (pa.map_(pa.string(), pa.map_(pa.string(), pa.float64())), [("a", [("k", math.inf)])], "ours.a.k"),
    ],
)
def test_an_infinite_number_in_a_map_within_something_else_is_refused(parquet, kind, value, field):
    (fault,) = read_parquet(parquet(pa.table({"prompt": ["a"], "ours": pa.array([value], kind)})), "a")
    assert fault.field == field


MAP = pa.map_(pa.string(), pa.int64())


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (
            pa.struct([("m", MAP), ("n", MAP), ("o", MAP)]),
            {"m": [("k", 1), ("none", None)], "n": [], "o": None},
            {"m": {"k": 1}, "n": {}},
        ),
        (pa.list_(MAP), [[("k", 1)], [], None], [{"k": 1}, {}, None]),
        (pa.map_(pa.string(), MAP), [("a", [("k", 1)])], {"a": {"k": 1}}),
        (pa.list_(pa.struct([("m", MAP)])), [{"m": [("k", 1)]}, None], [{"m": {"k": 1}}, None]),
        (
            pa.struct([("m", pa.map_(pa.int32(), pa.timestamp("ns")))]),
            {"m": [(1, 1)]},
            {"m": {"1": "1970-01-01T00:00:00.000000001"}},
        ),
        (pa.list_(pa.map_(pa.struct([("k", pa.string())]), pa.int64())), [[({"k": "a"}, 1)]], [[({"k": "a"}, 1)]]),
        (pa.map_(pa.bool_(), pa.int64()), [(True, 1)], [(True, 1)]),
        (pa.list_(pa.map_(pa.bool_(), MAP)), [[(False, [("k", 1)])]], [[(False, [("k", 1)])]]),
    ],
)
def test_maps_are_objects_wherever_they_stand(parquet, kind, value, expected):
    first, second = rows(parquet(pa.table({"prompt": ["a", "b"], "ours": pa.array([value, None], kind)})))
    assert first == {"prompt": "a", "ours": expected}
    assert second == {"prompt": "b"}


def test_decimals_in_what_is_ours_are_numbers(parquet):
    """As DuckDB writes 0.7."""
    half, whole = decimal.Decimal("0.70"), decimal.Decimal("3.0")
    inner = {"temperature": half, "top_k": whole, "extra_body": {"stop_token_ids": [whole, None]}, "top_p": None}
    expected = {"temperature": 0.7, "top_k": 3, "extra_body": {"stop_token_ids": [3, None]}}
    (row,) = rows(parquet([{"sampling": inner, "limits": {"timeout_s": half}, "metadata": {"price": half}, "price": half}]))
    assert row == {"sampling": expected, "limits": {"timeout_s": 0.7}, "metadata": {"price": "0.70"}, "price": "0.70"}
    assert type(row["sampling"]["top_k"]) is int


@pytest.mark.skipif(not hasattr(pa, "json_"), reason="this release of pyarrow knows no such type")
def test_columns_that_are_said_to_be_json_are_json_text(parquet):
    text = '[{"role": "user", "content": "x"}]'
    (row,) = rows(parquet(pa.table({"messages": pa.array([text], pa.json_()), "metadata": pa.array(["{}"], pa.json_())})))
    assert row == {"messages": text, "metadata": "{}"}


@pytest.mark.skipif(not hasattr(pa, "json_"), reason="this release of pyarrow knows no such type")
@pytest.mark.parametrize(("column", "expected"), [("prompt", "text"), ("model", "text"), ("id", "text or a whole number")])
def test_what_is_text_is_not_taken_from_json_with_its_quotation_marks(parquet, column, expected):
    """As DuckDB makes of a column that holds text and numbers."""
    (fault,) = read_parquet(parquet(pa.table({column: pa.array(['"x"', "1"], pa.json_())})), "a")
    assert str(fault) == f"a: {column}: the column's type is extension<arrow.json>; should be {expected}"


@pytest.mark.skipif(not hasattr(pa, "json_"), reason="this release of pyarrow knows no such type")
def test_json_within_messages_is_what_it_says(parquet):
    """As DuckDB and datasets make of content that is text in some messages and a list of parts in others."""
    content = pa.array(['"hi"', '[{"type": "text", "text": "x"}]', "null", "{"], pa.json_())
    messages = pa.StructArray.from_arrays([pa.array(["user"] * 4), content], ["role", "content"])
    table = pa.table({name: pa.ListArray.from_arrays(pa.array([0, 4], pa.int32()), messages) for name in ("messages", "ours")})
    (row,) = rows(parquet(table))
    told = [message.get("content") for message in row["messages"]]
    assert told == ["hi", [{"type": "text", "text": "x"}], None, "{"]
    assert "content" not in row["messages"][2]  # as in all other rows, whatever they hold
    assert row["ours"][0] == {"role": "user", "content": '"hi"'}


@pytest.mark.skipif(not hasattr(pa, "json_"), reason="this release of pyarrow knows no such type")
def test_arguments_of_calls_within_messages_stay_the_text_that_servers_want(parquet):
    """As DuckDB makes of arguments that are objects in some rows and their text in others."""
    arguments = pa.array(['{"a": 1}', '"{\\"a\\": 1}"', "null"], pa.json_())
    calls = pa.StructArray.from_arrays([pa.StructArray.from_arrays([arguments], ["arguments"])], ["function"])
    messages = pa.StructArray.from_arrays([pa.ListArray.from_arrays(pa.array([0, 3], pa.int32()), calls)], ["tool_calls"])
    (row,) = rows(parquet(pa.table({"messages": pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), messages)})))
    (message,) = row["messages"]
    assert message["tool_calls"] == [{"function": {"arguments": '{"a": 1}'}}] * 2 + [{"function": {}}]


def test_tensors_are_read_as_lists(parquet):
    floats = pa.array([[1.0, 2.0], [1.0, math.inf]], pa.list_(pa.float64(), 2))
    times = pa.array([[1, 1000], [2, 2000]], pa.list_(pa.timestamp("ns"), 2))
    table = {
        "ours": pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float64(), [2]), floats),
        "at": pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.timestamp("ns"), [2]), times),
    }
    first, fault = read_parquet(parquet(pa.table(table)), "a")
    assert first.row == {"ours": [1.0, 2.0], "at": ["1970-01-01T00:00:00.000000001", "1970-01-01T00:00:00.000001"]}
    assert fault.field == "ours.1"


def test_other_types_become_plain_json(parquet):
    table = pa.table(
        {
            "prompt": pa.array(["x", "y"]).dictionary_encode(),
            "n": pa.array([1.0, float("nan")]),
            "day": pa.array([datetime.date(2024, 5, 1), None]),
            "price": pa.array([decimal.Decimal("1.50"), None]),
            "blob": pa.array([b"ab", None]),
            "metadata": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "nested": pa.array([{"when": datetime.datetime(2024, 5, 1)}, None]),  # noqa: DTZ001 - a column without zone
        }
    )
    first, second = rows(parquet(table))
    assert first == {
        "prompt": "x",
        "n": 1.0,
        "day": "2024-05-01",
        "price": "1.50",
        "blob": "YWI=",
        "metadata": {"k": 1},
        "nested": {"when": "2024-05-01T00:00:00"},
    }
    assert second == {"prompt": "y"}


@pytest.mark.parametrize(
    ("kind", "count", "text"),
    [
        (pa.timestamp("ns"), 1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789"),
        (pa.timestamp("ns", "UTC"), -1, "1969-12-31T23:59:59.999999999Z"),
        (pa.timestamp("ns", "Europe/Berlin"), 1_700_000_000_000_000_001, "2023-11-14T23:13:20.000000001+01:00"),
        (pa.time64("ns"), 61_000_000_001, "00:01:01.000000001"),
        (pa.duration("ns"), 86_400_000_000_001, "P1DT0.000000001S"),
        (pa.duration("ns"), -1_500_000_001, "-PT1.500000001S"),
    ],
)
def test_nanoseconds_are_text_as_other_times_are(parquet, kind, count, text):
    """Also within lists, structs and maps; those of whole microseconds are written as before."""
    column = pa.array([count], kind)
    coarse = pa.array([1_000_000_000], kind)
    table = pa.table(
        {
            "at": column,
            "coarse": coarse,
            "list": pa.ListArray.from_arrays([0, 1], column),
            "struct": pa.StructArray.from_arrays([column, coarse, pa.array(["x"])], ["at", "coarse", "name"]),
            "map": pa.MapArray.from_arrays([0, 1], ["k"], column),
        }
    )
    (found,) = rows(parquet(table))
    (seconds,) = rows(parquet(pa.table({"coarse": coarse})))
    assert found["at"] == text
    assert found["list"] == [text]
    assert found["struct"] == {"at": text, **seconds, "name": "x"}
    assert found["map"] == {"k": text}
    assert found["coarse"] == seconds["coarse"]


def test_types_are_looked_at_once_per_column(parquet, monkeypatch):
    looks = []
    is_nested = pa.types.is_nested
    monkeypatch.setattr(pa.types, "is_nested", lambda kind: looks.append(kind) or is_nested(kind))

    def looks_at(count):
        looks.clear()
        column = pa.array([[{"at": i, "name": "x"}] for i in range(count)], pa.list_(pa.struct({"at": at, "name": pa.string()})))
        assert len(rows(parquet(pa.table({"ours": column, "at": pa.array(range(count), at)})))) == count
        return len(looks)

    at = pa.timestamp("ns")
    assert looks_at(500) == looks_at(1)


def test_only_columns_with_floats_are_searched_for_infinite_numbers(parquet, monkeypatch):
    searched = []
    search = parquet_rows._infinite
    monkeypatch.setattr(parquet_rows, "_infinite", lambda value: searched.append(value) or search(value))
    assert rows(parquet([{"ours": ["x"], "score": 1.0}])) == [{"ours": ["x"], "score": 1.0}]
    assert searched == [{"score": 1.0}, 1.0]


def test_a_column_of_the_wrong_type_is_told_once(parquet):
    path = parquet([{"prompt": i, "n": "two", "sampling": [1], "expected_tokens": "9"} for i in range(50)])
    assert [str(fault) for fault in read_parquet(path, "a")] == [
        "a: prompt: the column's type is int64; should be text",
        "a: n: the column's type is string; should be a whole number",
        "a: sampling: the column's type is list<element: int64>; should be a struct, or JSON text",
        "a: expected_tokens: the column's type is string; should be a whole number",
    ]


def test_a_prompt_that_is_a_list_is_told_where_it_belongs(parquet):
    (fault,) = read_parquet(parquet([{"prompt": [{"role": "user"}]}]), "a")
    assert fault.text.endswith("; should be text; a list of messages belongs in messages")


def test_an_agent_with_its_own_schema_decides_about_prompt(parquet):
    path = parquet([{"prompt": 3}])
    assert rows(path, own_schema=True) == [{"prompt": 3}]
    path = parquet([{"prompt": 3, "agent": "mine"}])
    assert rows(path) == [{"prompt": 3, "agent": "mine"}]


def test_a_file_that_is_not_parquet_is_one_sentence(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    (fault,) = read_parquet(path, "a")
    assert isinstance(fault, Fault)
    assert fault.text.startswith("cannot be read as Parquet (")
    assert "\n" not in fault.text


def test_a_cut_off_file_is_one_sentence(parquet):
    path = parquet([{"prompt": "x" * 50 + str(i)} for i in range(2000)])
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + b"\0" * 3000 + whole[5000:])
    *_, fault = read_parquet(path, "a")
    assert isinstance(fault, Fault)


def test_text_that_is_not_utf8_is_told(parquet):
    array = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"], pa.binary()).buffers())
    (fault,) = read_parquet(parquet(pa.table({"prompt": array})), "a")
    assert fault.where == "a:row 1"
    assert "not UTF-8" in fault.text


@pytest.mark.parametrize(
    ("column", "row", "kind"),
    [
        (pa.array([None, 2**61], pa.timestamp("us")), 2, "timestamp[us]"),
        (pa.array([1, 2**31 - 1], pa.date32()), 2, "date32[day]"),
        (pa.array([[], [1, 2**61]], pa.list_(pa.timestamp("us"))), 2, "list<element: timestamp[us]>"),
    ],
)
def test_a_time_that_python_cannot_hold_names_row_and_column(parquet, column, row, kind):
    more = pa.nulls(600, column.type)
    table = pa.table({"prompt": ["x"] * 602, "when": pa.concat_arrays([more, column])})
    *sound, fault = read_parquet(parquet(table), "a")
    assert {item.row["prompt"] for item in sound} == {"x"}
    assert (fault.where, fault.field) == (f"a:row {600 + row}", "when")
    assert fault.text.startswith(f"holds a {kind} that cannot be read as a date or time; write the column as text")


def test_null_items_of_lists_stay():
    assert without_nulls({"a": [None, {"b": None, "c": 1}]}) == {"a": [None, {"c": 1}]}


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="this release of pyarrow knows no such type")
def test_uuids_are_ids_as_their_text(parquet):
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(15) + b"\x01", None], pa.binary(16)))
    text = "00000000-0000-0000-0000-000000000001"
    path = parquet(pa.table({"id": ids, "other": ids, "prompt": ["x", "y"]}))
    assert rows(path) == [{"id": text, "other": text, "prompt": "x"}, {"prompt": "y"}]
    (fault,) = read_parquet(parquet(pa.table({"prompt": ids})), "a")
    assert str(fault) == "a: prompt: the column's type is extension<arrow.uuid>; should be text"
