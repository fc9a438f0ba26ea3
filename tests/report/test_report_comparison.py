from concur_batch.report.comparison import compared, differences, flattened


def numbers(makespan, hit_rate=0.5, errors=0):
    return {
        "figures": {"makespan_s": makespan},
        "tokens": {"cached_share": hit_rate},
        "statuses": {"error": errors} if errors else {},
    }


def test_ratios_are_to_the_first_run():
    rows = {row["name"]: row for row in compared([numbers(100.0), numbers(50.0, 0.75), numbers(None, None, 3)])}
    assert rows["makespan"]["values"] == [100, 50, None]
    assert rows["makespan"]["ratios"] == [1, 0.5, None]
    assert rows["makespan"]["less_is_better"]
    assert rows["cache hit rate"]["ratios"] == [1, 1.5, None]
    assert rows["failed"]["values"] == [0, 0, 3]
    assert rows["failed"]["ratios"] == [None, None, None]  # to nothing


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
