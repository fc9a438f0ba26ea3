import pytest

from concur_batch.errors import InputError
from concur_batch.results.selection import Head, Selection, selection

HEADS = [
    Head("a", 0, "completed", None),
    Head("a", 1, "error", "tool"),
    Head("b", 0, "error", "engine"),
    Head("ab#c", 0, "max_steps", None),
]


def taken(*given):
    wanted = selection(*given)
    return [head.rollout for head in HEADS if wanted.takes(head)]


def test_all_where_nothing_is_asked_for():
    assert selection(None, None, None) == Selection()
    assert taken(None, None, None) == ["a#0", "a#1", "b#0", "ab#c#0"]


def test_statuses_error_classes_and_ids_narrow_one_another():
    assert taken("error, max_steps", None, None) == ["a#1", "b#0", "ab#c#0"]
    assert taken(None, "engine,agent", None) == ["b#0"]
    assert taken(None, None, "^a") == ["a#0", "a#1", "ab#c#0"]
    assert taken(None, None, "a#1$") == ["a#1"]
    assert taken("error", None, "^a$") == ["a#1"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("eror", None, None), "--status eror: there is no 'eror'; did you mean error?"),
        (("done,zzz", None, None), "there are completed, max_steps"),
        ((None, "engin", None), "--error-class engin: .*did you mean engine?"),
        ((None, None, "("), r"--id \(: is no regular expression"),
    ],
)
def test_what_there_is_not(given, said):
    with pytest.raises(InputError, match=said):
        selection(*given)
