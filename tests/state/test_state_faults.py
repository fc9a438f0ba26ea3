from concur_batch.state.faults import Faults


def test_the_same_message_of_several_rollouts_is_one_whether_it_names_them_or_not():
    faults = Faults()
    for k in range(3):
        faults.add("rollout", "engine", f"a#{k}: no turn for\nstep 7", f"a#{k}", float(k))
    (group,) = faults.groups.values()
    assert (group.newest.message, group.newest.count, group.newest.rollout) == ("no turn for step 7", 3, "a#2")
