from journals import ListJournal, segment, short_life

from concur_batch.results.collection import JournalCollection
from concur_batch.results.paging import Counted, Page
from concur_batch.results.selection import selection

STORY = [segment(), *(record for i in range(10) for record in short_life(f"t{i}#0", i, "error" if i % 2 else "completed"))]


def page(status=None, **fields):
    counted = Counted(Page(selection=selection(status, None, None), **fields))
    ids = [one.head.id for one in counted.page(JournalCollection(ListJournal(STORY)))]
    return ids, counted.shown, counted.selected, counted.seen, counted.more


def test_pages():
    assert page(limit=3) == (["t0", "t1", "t2"], 3, 10, 10, 7)
    assert page(limit=3, skip=8) == (["t8", "t9"], 2, 10, 10, 0)
    assert page("error", limit=2, skip=1) == (["t3", "t5"], 2, 5, 10, 2)
    assert page(skip=99) == ([], 0, 10, 10, 0)
    assert len(page()[0]) == 10
