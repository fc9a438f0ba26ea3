from concur_batch import records as r
from concur_batch.dashboard.errors import screen, section
from concur_batch.dashboard.scene import Scene
from concur_batch.state import fold

E = "http://127.0.0.1:30000"


def test_in_the_main_picture_the_reason_stands_in_the_place_of_the_engines_address():
    busy = {"error": "EngineBusy", "message": f"{E}: HTTP 503: full", "retries": 1, "retry_s": 1.0, "pause_s": 1.0}
    stream = [
        r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0"),
        r.EngineSeen(t=0, engine=E, engine_kind="sglang", policy="aimd"),
        r.CallRetried(t=1, engine=E, rollout="a#0", step=1, n=1, **busy),
    ]
    scene = Scene(state=fold(stream), now=2.0)
    (line,) = section(scene, 1).draw(50, 1)
    assert line.plain == "errors         1 attempt     EngineBusy: HTTP 503…"
    assert any(f"{E}: HTTP 503: full" in line.plain for line in screen(scene, 100, 9))
