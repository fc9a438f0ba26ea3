"""A cap on calls, none on agents."""

import pytest

from concur_batch.control.base import UNLIMITED, Limit, Sample
from concur_batch.control.policies import make_policy
from concur_batch.control.request_cap import requests
from concur_batch.errors import InputError


def test_only_calls_are_capped():
    law = requests(64)
    assert law.first == law.update(Sample(engine="e", time=1.0)) == Limit(UNLIMITED, UNLIMITED, 64, "fixed")


def test_by_name():
    policy = make_policy("requests:8", {"pause": "oldest"}, 1024)
    assert policy.controller.first.requests == 8
    assert policy.admission.pause == "oldest"


@pytest.mark.parametrize(
    ("name", "words"),
    [("requests", "as in requests:64"), ("requests:0", "model calls in flight"), ("request:4", "did you mean requests:N")],
)
def test_what_is_wrong_is_told_with_the_mend(name, words):
    with pytest.raises(InputError, match=words):
        make_policy(name, {}, 1024)
