from concur_batch.report.tidy import clipped, named, tidied, tidy


def test_numbers_are_short_finite_and_whole_where_they_can_be():
    assert tidied([0.123456, 2.0, None, float("nan"), float("inf"), 123_456.0]) == [0.1235, 2, None, None, None, 123_500]
    assert tidy(20_058_093) == 20_058_093  # a count stays as it is


def test_long_texts_end_in_an_ellipsis():
    assert (clipped("abc", 3), clipped("abcd", 3)) == ("abc", "ab…")


def test_of_a_long_id_both_ends_are_shown():
    assert named("task-1#0") == "task-1#0"
    assert named("a" * 300 + "7#0", 20) == "a" * 10 + "…" + "a" * 6 + "7#0"
