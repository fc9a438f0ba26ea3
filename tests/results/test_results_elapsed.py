from journals import EPOCH, segment

from concur_batch import records as r
from concur_batch.results.elapsed import Elapsed


def test_a_segment_goes_on_where_the_last_one_ended():
    elapsed = Elapsed()
    story = [segment(), r.DrainStarted(t=7.5, cause="SIGINT"), segment(EPOCH + 500), r.DrainStarted(t=2.0, cause="SIGINT")]
    assert [elapsed.at(record) for record in story] == [0.0, 7.5, 7.5, 9.5]
    assert elapsed.now == 9.5


def test_now_does_not_go_back():
    elapsed = Elapsed()
    elapsed.at(r.DrainStarted(t=3.0, cause="engine"))
    assert elapsed.at(r.DrainStarted(t=1.0, cause="engine")) == 1.0
    assert elapsed.now == 3.0
