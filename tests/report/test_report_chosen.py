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
