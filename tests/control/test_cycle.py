import pytest

from concur_batch.control.cycle import Cycle


def test_nothing_is_said_of_steps_before_there_have_been_some():
    it = Cycle()
    for _ in range(8):
        assert it.step_s is None
        it.passed(2.0, 1.0, 4.0)
    it.passed(2.0, 1.0, 4.0)
    assert it.step_s == pytest.approx(6.0)


def test_the_share_with_a_slot_is_of_all_the_time():
    it = Cycle()
    assert it.holding_share == 1.0
    for _ in range(50):
        it.passed(2.0, 1.0, 4.0)
        it.passed(2.0)
    assert it.holding_share == pytest.approx(5 / 8, rel=0.01)
    assert it.step_s == pytest.approx(4.0, rel=0.01)


def test_the_share_in_model_calls_is_of_the_time_with_a_slot():
    it = Cycle()
    assert it.calling_share == 1.0
    it.passed(2.0, 1.0, 4.0)
    assert it.calling_share == pytest.approx(2 / 3)
    it.passed(5.0)
    assert it.calling_share == pytest.approx(7 / 8, rel=0.01)
