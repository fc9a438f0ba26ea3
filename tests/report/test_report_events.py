from journals import segment

from concur_batch import records as r
from concur_batch.report.events import Events


def details(*steered):
    events = Events()
    events.segment(segment(), 0.0)
    for record in steered:
        events.steered(record, record.t)
    return [one["detail"] for one in events.view()["kept"]]


def test_what_was_steered_is_told_as_what_changed():
    assert details(
        r.Steered(t=1.0, held=True),
        r.Steered(t=2.0),
        r.Steered(t=3.0, factor=1.5),
        r.Steered(t=4.0, factor=1.5, held=True),
        r.Steered(t=5.0),
    ) == [
        "by hand: admission held",
        "by hand: admission released",
        "by hand: limits times 1.5",
        "by hand: admission held",
        "by hand: admission released, limits as the controller decides",
    ]


def test_a_process_begins_without_a_hand_on_it():
    events = Events()
    for record in (r.Steered(t=1.0, held=True), segment(), r.Steered(t=1.0, held=True)):
        (events.segment if isinstance(record, r.SegmentStarted) else events.steered)(record, 1.0)
    assert [one["detail"] for one in events.view()["kept"]] == ["by hand: admission held"] * 2


def test_an_engine_that_is_lost_is_named_once():
    events = Events()
    for message in ("http://a broke the connection", "http://a: gone", "gone"):
        events.lost(r.EngineLost(t=1.0, engine="http://a", message=message), 1.0)
    assert [one["detail"] for one in events.view()["kept"]] == ["http://a: broke the connection", *2 * ["http://a: gone"]]
