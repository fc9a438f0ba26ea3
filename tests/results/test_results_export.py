import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from journals import ListJournal, end, reply, segment, short_life, start, tool

from concur_batch import records as r
from concur_batch.errors import InputError
from concur_batch.results.collection import JournalCollection
from concur_batch.results.export import exporting, form_of

STORY = [
    segment(),
    start("a#0", metadata={"k": "v"}, target="t"),
    reply("a#0", 1, base=1, calls=["c"]),
    tool("a#0", 2, 'say "hi",\nthere', call_id="c"),
    reply("a#0", 3, after=1, base=2, new=[2], content="done"),
    end("a#0", output='x,"y"\nz', n_steps=2, prompt_tokens=20, completion_tokens=4, cached_tokens=5, wall_s=1.5),
    start("b#0", 1),
    end("b#0", "error", error=r.ErrorInfo(error_class="engine", message="gone", retryable=True)),
]
TOOL = {"type": "function", "function": {"name": "f"}}


def exported(form, story=STORY, tools=lambda _: None):
    file = io.BytesIO()
    with exporting(file, form, tools) as write:
        for found in JournalCollection(ListJournal(story)):
            write(found.row())
    assert not file.closed
    return file.getvalue()


def lines(*args, **kwargs):
    return [json.loads(line) for line in exported(*args, **kwargs).splitlines()]


def test_json_lines_are_whole_rows():
    first, second = lines("jsonl")
    assert [message["role"] for message in first["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert (first["metadata"], second["error"]["class"]) == ({"k": "v"}, "engine")


def test_openai_batch_lines():
    first, second = lines("openai")
    assert first["response"]["body"]["choices"][0]["message"]["content"] == 'x,"y"\nz'
    assert second["error"]["code"] == "engine"


def test_chat_has_conversations_and_the_tools_that_are_known():
    (only,) = lines("chat", tools={"a": [TOOL]}.get)  # b has none that anybody answered
    assert only.keys() == {"messages", "tools"}
    assert only["tools"] == [TOOL]
    assert only["messages"][2] == {"role": "tool", "tool_call_id": "c", "content": 'say "hi",\nthere'}
    assert lines("chat")[0].keys() == {"messages"}


def test_what_the_prompt_has_the_model_say_makes_no_chat():
    prompt = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "1 + 2?"}]
    assert lines("chat", [segment(), start("a#0", messages=prompt), end("a#0", "timeout")]) == []


def finishing(*names, answered=()):
    """A rollout whose last turn calls these, with answers to some."""
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names]
    last = reply("a#0", 1, base=1)
    last.message["tool_calls"] = calls
    answers = [tool("a#0", 2 + i, f"{name} ran", call_id=name) for i, name in enumerate(answered)]
    return [segment(), start("a#0"), last, *answers, end("a#0", output="42", n_steps=1)]


def test_a_finish_call_is_answered_and_its_tool_listed():
    story = finishing("finish", "f", answered=["f"])
    (line,) = lines("chat", story, tools={"a": [TOOL]}.get)
    ended = {"role": "tool", "tool_call_id": "finish", "content": "The task has ended."}
    assert line["messages"][2:] == [ended, {"role": "tool", "tool_call_id": "f", "content": "f ran"}]
    assert [one["function"]["name"] for one in line["tools"]] == ["f", "finish"]
    (line,) = lines("chat", story, tools={"a": line["tools"]}.get)
    assert [one["function"]["name"] for one in line["tools"]] == ["f", "finish"]
    (line,) = lines("chat", story, tools={"a": []}.get)
    assert [one["function"]["name"] for one in line["tools"]] == ["finish"]
    assert lines("chat", story)[0].keys() == {"messages"}  # the tools are not known: one of them alone would look like all
    assert len(lines("jsonl", story)[0]["messages"]) == 3  # as it went


def test_a_finish_that_was_answered_stays_as_it_is():
    """An agent of one's own may have told its model something else."""
    (line,) = lines("chat", finishing("finish", answered=["finish"]), tools={"a": [TOOL]}.get)
    assert [message["content"] for message in line["messages"][2:]] == ["finish ran"]
    assert line["tools"] == [TOOL]


def test_a_finish_whose_id_is_no_text_is_answered_too():
    story = finishing("finish")
    story[2].message["tool_calls"][0]["id"] = {"x": 1}
    (line,) = lines("chat", story)
    assert line["messages"][2] == {"role": "tool", "tool_call_id": {"x": 1}, "content": "The task has ended."}


def test_parquet_is_that_of_the_run():
    table = pq.read_table(io.BytesIO(exported("parquet")))
    assert table.column("id").to_pylist() == ["a", "b"]
    assert json.loads(table.column("messages")[0].as_py())[0]["role"] == "user"
    assert pq.read_table(io.BytesIO(exported("parquet", [segment()]))).num_rows == 0


def test_csv_is_flat():
    rows = list(csv.DictReader(io.StringIO(exported("csv").decode(), newline="")))
    first, second = rows
    assert (first["output"], first["cached_tokens"], first["wall_s"], first["error_class"]) == ('x,"y"\nz', "5", "1.5", "")
    assert (json.loads(first["target"]), json.loads(first["metadata"])) == ("t", {"k": "v"})
    assert (second["error_class"], second["error_message"], second["error_retryable"]) == ("engine", "gone", "True")
    assert first["started_at"].endswith("+00:00")
    assert "messages" not in first
    assert exported("csv", [segment()]).count(b"\n") == 1


def test_every_row_is_written():
    story = [segment(), *(record for i in range(300) for record in short_life(f"t{i:03}#0", i))]
    assert [line["id"] for line in lines("jsonl", story)] == [f"t{i:03}" for i in range(300)]


def test_the_form_is_told_or_by_the_ending():
    assert [form_of(name, None) for name in ("a.jsonl", "a.parquet", "x/a.csv", "-")] == ["jsonl", "parquet", "csv", "jsonl"]
    assert form_of("a.jsonl", "chat") == "chat"
    with pytest.raises(InputError, match="the ending tells no form"):
        form_of("a.txt", None)
    with pytest.raises(InputError, match="there is no such form; there are jsonl"):
        form_of("a.txt", "xml")
