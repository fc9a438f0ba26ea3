import weakref

import pytest
from journals import reply, start

from concur_batch.report.chosen import Chosen
from concur_batch.report.trajectory import trajectory
from concur_batch.results.trajectory import of_records


class Ids(list):  # that can be looked after
    pass


@pytest.mark.parametrize("read", [of_records, lambda records: trajectory(Chosen("a#0"), records)["items"]])
def test_tokens_are_not_held_while_a_rollout_is_read(read):
    made = []

    def records():
        yield start("a#0")
        for n in range(1, 6):
            ids = Ids([1, 2, 3])  # of a whole prompt, with every call
            made.append(weakref.ref(ids))
            yield reply("a#0", n, 2 * n - 1, after=n - 1, prompt_token_ids=ids, response_token_ids=ids, logprobs=ids)
            del ids
            assert sum(one() is not None for one in made) <= 1

    assert len([*read(records())]) == 6
