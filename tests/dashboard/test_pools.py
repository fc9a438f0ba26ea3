import pytest
from rich.console import Console

from concur_batch import records as r
from concur_batch.dashboard.view import render
from concur_batch.state import fold

E = "http://127.0.0.1:30000"
TOLD = r.Sampled(t=1, engine=E, locked=0.5, resident=0.9)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([], "no reading yet"),
        ([r.Sampled(t=1, engine=E)], "what is in it is not told by the engine"),
        ([TOLD, r.Sampled(t=2, engine=E, stale=True)], "no fresh reading"),
    ],
)
def test_why_nothing_is_said_of_what_is_in_a_pool(samples, said):
    begun = [
        r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0"),
        r.BatchLoaded(t=0, tasks=9, rollouts=9, max_agents=64),
        r.EngineSeen(t=0, engine=E, engine_kind="sglang", policy="aimd", capacity_tokens=384_000),
    ]
    console = Console(width=80, height=24)
    with console.capture() as captured:
        console.print(render(fold([*begun, *samples]), 3.0, 80, 24))
    assert f"KV pool   384.0k {said}\n" in captured.get()
