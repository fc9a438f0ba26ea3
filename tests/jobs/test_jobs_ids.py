from hypothesis import given
from hypothesis import strategies as st

from concur_batch.jobs.ids import Double, IdBook


@given(st.lists(st.sampled_from(["aa", "bb", "cc"]), max_size=30))
def test_absent_ids_are_unique_and_found_again_in_any_order(contents):
    book = IdBook()
    names = []
    for index, content in enumerate(contents):
        names.append(book.name_absent(index, content))
        book.add(names[-1], f"j:{index}")
    assert len(set(names)) == len(names)
    assert not book.doubles
    assert [book.absent.name(i, content) for i, content in reversed(list(enumerate(contents)))] == names[::-1]


def test_the_first_bears_the_bare_fingerprint():
    book = IdBook()
    names = []
    for index in range(3):
        names.append(book.name_absent(index * 2, "aa"))
        book.add(names[-1], "")
    assert names == ["aa", "aa-2", "aa-3"]


def test_doubles_are_kept_up_to_twenty():
    book = IdBook()
    for line in range(30):
        book.add("x", f"j:{line}", line)
    assert book.doubles[0] == Double("x", "j:1", 1)
    assert (len(book.doubles), book.more_doubles) == (20, 9)
