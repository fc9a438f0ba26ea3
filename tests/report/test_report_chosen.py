from random import Random

from journals import reply, start
from report_runs import end, failed, life

from concur_batch import records as r
from concur_batch.report.chosen import MOST_FAILURES, MOST_RECORDS, MOST_SAMPLED, Choice


def choice(*records):
    made = Choice(Random(0))
    told = {
        r.RolloutStarted: made.started,
        r.ReplyReceived: made.reply,
        r.ToolFinished: made.part,
        r.RolloutFinished: made.finished,
    }
    for position, record in enumerate(records):
        if type(record) in told:
            told[type(record)](record, position)
    return made


def test_failures_and_others_with_the_positions_of_their_records():
    made = choice(*life("a#0"), start("b#0"), failed("b#0", 9.0), start("c#0"))
    assert [(one.rollout, list(one.positions)) for one in made.failures] == [("b#0", [8, 9])]
    assert [(one.rollout, one.status, list(one.positions)) for one in made.others] == [
        ("c#0", "not ended", [10]),
        ("a#0", "completed", [0, 1, 3, 6, 7]),
    ]
    assert list(made.rows()) == [["b#0", "error", 0, 0, 8.0], ["c#0", "not ended", 0, 0, None], ["a#0", "completed", 2, 22, 4.0]]


def test_another_attempt_takes_the_place_of_the_one_before():
    made = choice(start("a#0"), failed("a#0", 5.0), start("a#0", attempt=2), end("a#0", 9.0, attempt=2))
    assert made.failures == []
    assert [row[:2] for row in made.rows()] == [["a#0", "completed"]]


def test_taken_up_again_it_is_one_story():
    made = choice(start("a#0"), reply("a#0", 1, 1), start("a#0", resumed=True), end("a#0", 9.0))
    assert [list(one.positions) for one in made.others] == [[0, 1, 3]]


def test_what_is_kept_is_bounded():
    lives = [record for i in range(3_000) for record in (start(f"a{i}#0", i), (failed if i % 2 else end)(f"a{i}#0", 5.0))]
    made = choice(*lives)
    assert (len(made.failures), len(made.others)) == (MOST_FAILURES, MOST_SAMPLED)
    assert len({row[0] for row in made.rows()}) == 3_000
    (long,) = choice(start("a#0"), *(reply("a#0", n, 1) for n in range(1, MOST_RECORDS + 11)), end("a#0", 5.0)).others
    assert (len(long.positions), long.left_out) == (MOST_RECORDS + 1, 11)


def test_a_rollout_cancelled_before_it_began_is_listed_too():
    assert [row[:2] for row in choice(end("a#0", 5.0, "cancelled")).rows()] == [["a#0", "cancelled"]]


def test_another_attempt_takes_the_place_also_where_only_some_are_drawn():
    """Of 3,000 failures and 3,000 ends each is tried again, and then fails where it had not."""
    names = [f"a{i}#0" for i in range(6_000)]
    firsts = [record for i, name in enumerate(names) for record in (start(name, i), (failed if i % 2 else end)(name, 5.0))]
    seconds = [
        record
        for i, name in enumerate(names)
        for record in (start(name, i, attempt=2), (end if i % 2 else failed)(name, 9.0, attempt=2))
    ]
    made = choice(*firsts, *seconds)
    assert (len(made.failures), len(made.others)) == (MOST_FAILURES, MOST_SAMPLED)
    assert {row[0]: row[1] for row in made.rows()} == {name: "completed" if i % 2 else "error" for i, name in enumerate(names)}
    assert all(one.positions[0] >= len(firsts) for one in [*made.failures, *made.others])
    assert len({one.rollout for one in [*made.failures, *made.others]}) == MOST_FAILURES + MOST_SAMPLED


def test_a_rollout_that_is_tried_again_is_not_looked_for_among_all_others():
    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__
        compared = 0

        def __eq__(self, other):
            Name.compared += 1
            return str.__eq__(self, other)

        def __ne__(self, other):
            return not self == other

    names = [Name(f"a{i}#0") for i in range(400)]
    lives = [(start(name, attempt=attempt), failed(name, 5.0, attempt=attempt)) for attempt in (1, 2) for name in names]
    choice(*(record for life in lives for record in life))
    assert Name.compared < 20 * len(names)
