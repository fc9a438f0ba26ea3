from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import ROUND, call, core
from test_sim_core import LOADS, OPTIONS

from concur_batch.sim.replay import Arrival, fresh, replay


@settings(max_examples=80, deadline=None)
@given(LOADS, OPTIONS, st.sampled_from([320, 4000]), st.lists(st.tuples(st.floats(0, 60), st.integers(0, 11)), max_size=3))
def test_the_same_arrivals_by_iteration_lead_to_the_same_decisions(load, options, capacity, aborts):
    engine, arrivals = core(capacity, **options), []
    events = [(time, i, None, one) for i, (time, *one) in enumerate(load)] + [(time, 99, rid, None) for time, rid in aborts]
    for time, i, aborted, one in sorted(events, key=lambda event: event[:2]):
        engine.run_to(time)
        iteration = engine.started(time)
        if one is None:
            arrivals.append(Arrival(iteration=iteration, kind="abort", name=f"r{aborted}"))
            engine.abort(f"r{aborted}", time)
        else:
            shared, private, out, most = one
            new = call(f"r{i}", (shared, 30), (f"p{i % 4}", private), out=out, max_new_tokens=most, priority=(i % 3) * 20)
            arrivals.append(Arrival(iteration=iteration, call=fresh(new)))
            engine.add(new, time)
    while (end := engine.next_time()) is not None:
        engine.run_to(end)
    again = replay(arrivals, engine.options, ROUND)
    assert again.log == engine.log
    assert again.iterations == engine.iterations
