from random import Random

from journals import tool

from concur_batch.report.tools import MOST_TOOLS, OTHERS, Tools


def test_counts_errors_and_times_the_longest_in_all_first():
    tools = Tools(Random(0))
    for i in range(1, 101):
        tools.call(tool("a#0", i, tool="quick", seconds=i / 1000, ok=i % 10 != 0), 0.0)
    tools.call(tool("a#0", 1, tool="slow", seconds=60.0), 0.0)
    slow, quick = tools.view()
    assert slow == {"tool": "slow", "calls": 1, "errors": 0, "p50_s": 60, "p95_s": 60, "max_s": 60, "total_s": 60}
    assert (quick["calls"], quick["errors"], quick["p50_s"], quick["max_s"], quick["total_s"]) == (100, 10, 0.0505, 0.1, 5.05)


def test_names_that_a_model_makes_up_do_not_add_up_without_end():
    tools = Tools(Random(0))
    for i in range(MOST_TOOLS + 50):
        tools.call(tool("a#0", 1, tool=f"made-up-{i}"), 0.0)
    assert len(tools.view()) == MOST_TOOLS + 1
    assert {row["tool"]: row["calls"] for row in tools.view()}[OTHERS] == 50
