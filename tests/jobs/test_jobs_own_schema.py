import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, RootModel, field_validator, model_validator

from concur_batch.errors import InputError
from concur_batch.jobs.own_schema import usual_schema
from concur_batch.jobs.schema import RowSchema, SchemaOptions


class Puzzle(BaseModel):
    model_config = ConfigDict(extra="forbid")
    board: list[int]
    target: str | None = None

    @field_validator("board")
    @classmethod
    def _small(cls, board):
        if len(board) > 3:
            raise KeyError("oops")
        return board


def agents(name):
    if name in (None, "solver"):
        return Puzzle
    if name == "react":
        return None
    raise InputError(f'there is no agent "{name}"; known are react, solver')


def check(row, agent_schema=agents):
    return RowSchema(SchemaOptions(agent_schema=agent_schema)).task(row, 0, "j:1", lambda _, digits: digits)


def faults(row):
    return [f"{fault.field}: {fault.text}" for fault in check(row)]


def test_the_row_goes_to_fields_without_our_columns():
    row = {"task_id": "a", "board": [1], "n": 2, "seed": 3, "metadata": {"k": 1}, "limits": {"max_steps": 1}, "agent": "solver"}
    task = check(row)
    assert (task.id, task.fields, task.messages, task.n, task.metadata) == ("a", {"board": [1]}, (), 2, {"k": 1})


def test_a_column_of_ours_that_the_schema_declares_is_given_to_it_too():
    task = check({"board": [1], "target": "t"})
    assert (task.fields, task.target) == ({"board": [1], "target": "t"}, "t")


def test_prompt_means_what_the_schema_says():
    assert faults({"board": [1], "prompt": 3}) == ["prompt: is not known here; leave it out or correct its name"]


def test_faults_of_the_schema_and_of_our_columns_come_together():
    assert faults({"board": ["x"], "n": 0}) == [
        'board.0: is "x"; should be a valid integer, unable to parse string as an integer'.replace(
            "a valid integer", "a whole number"
        ),
        "n: is 0; should be greater than or equal to 1",
    ]
    assert faults({}) == ["board: is missing; should be given"]


def test_a_validator_that_raises_anything_refuses_the_row():
    assert faults({"board": [1, 2, 3, 4]}) == [": is refused by Puzzle (KeyError: 'oops')"]


def test_other_agents_take_usual_rows():
    assert check({"agent": "react", "prompt": "x"}).messages
    assert faults({"agent": "react"}) == ["prompt: is missing; give prompt (text) or messages (a list)"]


def test_an_unknown_agent_is_a_fault_that_names_the_known():
    assert faults({"agent": "sovler", "prompt": "x"}) == ['agent: there is no agent "sovler"; known are react, solver']


def test_each_agent_is_asked_for_once():
    asked = []

    def agent_schema(name):
        asked.append(name)
        return agents(name)

    schema = RowSchema(SchemaOptions(agent_schema=agent_schema))
    for agent in ("x", None, "x", "react", None):
        schema.task({"agent": agent, "board": [1]}, 0, "j:1", lambda *_: "")
    assert asked == ["x", None, "react"]


def test_fields_change_the_fingerprint():
    assert check({"board": [1]}).fingerprint != check({"board": [2]}).fingerprint


class Moves(BaseModel):
    board: list[int]
    moves: int = 20
    size: int = Field(default=3, alias="edge")
    start: int = Field(default=0, validation_alias=AliasChoices("begin", AliasPath("at", 0)))


def read(row, model, *, strict=False):
    schema = RowSchema(SchemaOptions(agent_schema=lambda _: model, strict=strict))
    return schema.task(row, 0, "j:1", lambda _, digits: digits), schema.warnings()


def test_a_column_that_the_schema_does_not_declare_is_an_unknown_one():
    row = {"id": "a", "board": [1], "move": 9, "edge": 2, "at": [5], "prompt": "x", "void": None, "metadata": {"k": 1}}
    task, warnings = read(row, Moves)
    assert task.metadata == {"move": 9, "prompt": "x", "k": 1}
    assert warnings == [
        "j:1: prompt: unknown column, kept in metadata; what is to be passed through belongs in metadata",
        "j:1: move: unknown column, kept in metadata; did you mean moves?",
    ]
    faults, _ = read({"board": [1], "move": 9, "size": 2, "begin": 1}, Moves, strict=True)
    assert [f"{fault.field}: {fault.text}" for fault in faults] == [
        "move: is not known; did you mean moves?",
        "size: is not known; what is to be passed through belongs in metadata",
    ]


def test_an_id_by_another_name_beside_the_id_is_kept():
    task, warnings = read({"id": "a", "task_id": "t", "board": [1]}, Moves, strict=True)
    assert (task.id, task.metadata, warnings) == ("a", {"task_id": "t"}, [])


def test_an_undeclared_column_gives_way_to_metadata():
    """So that runs that were begun with such rows can go on."""
    row = {"id": "a", "task_id": "b", "board": [1], "move": 9, "prompt": "x", "metadata": {"move": 1, "task_id": 2}}
    task, warnings = read(row, Moves)
    assert task.metadata == {"move": 1, "task_id": 2, "prompt": "x"}
    assert warnings == [
        "j:1: prompt: unknown column, kept in metadata; what is to be passed through belongs in metadata",
        "j:1: move: unknown column, left aside for that key of metadata; did you mean moves?",
    ]
    faults, _ = read(row, Moves, strict=True)
    assert [fault.field for fault in faults] == ["prompt", "move"]


class Labelled(BaseModel):
    label: str = Field(validation_alias=AliasChoices("answer", "target"))
    first: str = Field(default="", validation_alias=AliasPath("tools", 0))


def test_a_column_of_ours_that_the_schema_reads_by_an_alias_is_given_to_it_too():
    row = {"target": "t", "tools": []}
    task, warnings = read(row, Labelled, strict=True)
    assert (task.fields, task.target, task.tools, task.metadata, warnings) == (row, "t", (), {}, [])
    faults, _ = read({"metadata": {}}, Labelled)
    assert [fault.field for fault in faults] == ["answer"]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Whole(BaseModel):
    board: list[int]

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, row):
        return {"board": [row["cell"]]}


class Made(BaseModel):
    board: list[int]

    def __init__(self, **row):
        super().__init__(board=[row["cell"]])


class Validated(BaseModel):
    board: list[int]

    @classmethod
    def model_validate(cls, row, **options):
        return super().model_validate({"board": [row["cell"]]}, **options)


class ByName(Moves):
    model_config = ConfigDict(populate_by_name=True)


@pytest.mark.parametrize(
    ("model", "row"),
    [
        (Open, {"cell": 1}),
        (Whole, {"cell": 1}),
        (Made, {"cell": 1}),
        (Validated, {"cell": 1}),
        (RootModel[dict[str, int]], {"cell": 1}),
        (ByName, {"board": [1], "size": 2}),
    ],
)
def test_what_a_schema_may_read_is_no_unknown_column(model, row):
    task, warnings = read(row, model, strict=True)
    assert (task.fields, task.metadata, warnings) == (row, {}, [])


def test_an_undeclared_column_changes_no_fingerprint_of_before():
    """Runs that were begun with such rows can go on."""
    assert read({"board": [1], "move": 9}, Moves)[0].fields == {"board": [1], "move": 9}


@pytest.mark.parametrize("name", [None, "any"])
def test_by_default_rows_are_usual(name):
    assert usual_schema(name) is None
