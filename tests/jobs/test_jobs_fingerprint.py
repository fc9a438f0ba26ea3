import hashlib

from hypothesis import given
from hypothesis import strategies as st

from concur_batch.jobs.fingerprint import fingerprint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), lambda x: st.lists(x, max_size=3), max_leaves=5
)


def test_it_is_stable_over_processes_and_versions():
    canonical = '{"messages":[{"content":"ü","role":"user"}],"seed":3}'.encode()
    expected = hashlib.blake2b(canonical, digest_size=8).hexdigest()
    assert fingerprint({"seed": 3, "messages": [{"role": "user", "content": "ü"}]}) == expected


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_the_order_of_keys_does_not_matter(content):
    backwards = dict(reversed(content.items()))
    assert fingerprint({"a": content}) == fingerprint({"a": backwards})
    assert len(fingerprint(content)) == 16
