from concur_batch.report.comparison import compared, differences, flattened


def numbers(makespan, hit_rate=0.5, errors=0, ended=4):
    return {
        "rollouts": {"ended": ended, "total": 4},
        "per_second": {"steps": 2.0 * ended, "rollouts": 0.1 * ended},
        "figures": {"makespan_s": makespan},
        "tokens": {"cached_share": hit_rate},
        "statuses": {"error": errors} if errors else {},
    }


def test_ratios_are_to_the_first_run():
    rows = {row["name"]: row for row in compared([numbers(100.0), numbers(50.0, 0.75), numbers(None, None, 3)])}
    assert rows["makespan: the last end"]["values"] == [100, 50, None]
    assert rows["makespan: the last end"]["ratios"] == [1, 0.5, None]
    assert rows["makespan: the last end"]["less_is_better"]
    assert rows["cache hit rate"]["ratios"] == [1, 1.5, None]
    assert rows["failed"]["values"] == [0, 0, 3]
    assert rows["failed"]["ratios"] == [None, None, None]  # to nothing


def test_a_run_that_has_not_finished_is_not_judged_by_what_is_known_only_in_the_end():
    runs = [numbers(100.0), numbers(18.0, errors=1, ended=2), numbers(None, ended=0), numbers(90.0)]
    rows = {row["name"]: row for row in compared(runs)}
    assert rows["makespan: the last end"]["ratios"] == [1, None, None, 0.9]
    assert rows["makespan: the last end"]["so_far"] == [1]
    assert rows["failed"]["so_far"] == [1, 2]
    assert rows["steps per second"]["ratios"] == [1, 0.5, 0, 1]
    assert rows["steps per second"]["so_far"] == []
    assert rows["rollouts per second"]["so_far"] == [1, 2]  # who is still at work counts for nothing there
    rows = {row["name"]: row for row in compared([numbers(18.0, ended=2), numbers(100.0)])}
    assert rows["makespan: the last end"]["ratios"] == [None, None]
    assert rows["makespan: the last end"]["so_far"] == [0]


def test_what_no_run_tells_has_no_row():
    assert [row["name"] for row in compared([{}, {}])] == ["failed"]


def test_settings_that_differ_by_dotted_key():
    first = flattened({"run": {"seed": 0, "out": "a"}, "sampling": {}, "jobs": [1]})
    assert first == {"run.seed": "0", "run.out": "a", "sampling": "{}", "jobs": "[1]"}
    second = flattened({"run": {"seed": 0, "out": "b"}, "sampling": {"top_p": 0.9}, "jobs": [1]})
    assert differences([first, second]) == [
        {"key": "run.out", "values": ["a", "b"]},
        {"key": "sampling", "values": ["{}", None]},
        {"key": "sampling.top_p", "values": [None, "0.9"]},
    ]
