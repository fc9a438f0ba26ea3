"""What is new in a request, what the engine has seen of it, and its hash."""

from hypothesis import given
from hypothesis import strategies as st

from concur_batch.agent.requests import Conversation, Offers, hash_call
from concur_batch.engine.scripted import reply


def user(text):
    return {"role": "user", "content": text}


def test_a_growing_history_is_told_by_call_numbers():
    prompt = [user("a")]
    talk, messages = Conversation(prompt), list(prompt)
    first = reply("one", prompt_tokens=100, completion_tokens=10)
    assert talk.extend(messages, first, 1) == (0, 0, 1, [], 0)
    observation = {"role": "tool", "tool_call_id": "x", "content": "seen"}
    talk.know(observation, 2)
    messages += [first.message, observation, user("go on")]
    assert talk.extend(messages, reply("two"), 3) == (110, 1, 2, [2, user("go on")], 0)


def test_another_conversation_has_no_known_history():
    talk = Conversation([user("a")])
    talk.extend([user("a"), user("b")], reply("one", prompt_tokens=100), 1)
    assert talk.extend([user("a"), user("c")], reply("two"), 2) == (0, 0, 1, [user("c")], 0)


def numbers(*requests):
    """Of the conversations that these are in, after the prompt `a b`. A number n stands for the answer to the n-th request."""
    talk = Conversation([user("a"), user("b")])
    answers = [reply(f"answer {n}") for n in range(len(requests))]
    made = [[answers[part - 1].message if isinstance(part, int) else user(part) for part in request] for request in requests]
    found = []
    for n, messages in enumerate(made):
        found.append(talk.number(messages))
        talk.extend(messages, answers[n], n + 1, found[-1])
    return found


def test_a_conversation_keeps_its_number_while_others_come_and_go():
    assert numbers("ab", ["a", "b", 1, "x"], ["a", "sub"], ["a", "sub", 3, "y"], ["a", "b", 1, "x", 2, "z"]) == [1, 1, 2, 2, 1]


def test_to_begin_anew_from_the_prompt_is_another_conversation():
    assert numbers("ab", ["a", "b", 1, "x"], ["a", "b", "summary"], ["a", "b", "summary", 3, "y"]) == [1, 1, 2, 2]


def test_it_is_the_same_as_long_as_most_of_it_stands():
    long = ["a", "b", 1, "x", 2, "y"]
    assert numbers("ab", long[:4], long, [*long[:5], "other"]) == [1, 1, 1, 1]
    assert numbers("ab", long[:4], long, [*long[:3], "cut", *long[4:], 3, "z"]) == [1, 1, 1, 2]


def test_reasoning_is_not_sent_again_so_it_is_no_history():
    talk, messages = Conversation([]), [user("a")]
    import dataclasses

    thought = dataclasses.replace(reply("one", prompt_tokens=100, completion_tokens=50), reasoning_tokens=40)
    talk.extend(messages, thought, 1)
    assert talk.extend([*messages, thought.message], reply("two"), 2)[0] == 100


def test_the_hash_is_of_content_and_not_of_identity():
    one, other = Conversation([]), Conversation([])
    assert one.hash([user("a")], None, {}) == other.hash([user("a")], None, {})
    assert one.hash([user("a")], None, {}) != one.hash([user("b")], None, {})
    assert one.hash([user("a")], None, {}) != one.hash([user("a")], (), {})
    assert one.hash([user("a")], None, {}) != one.hash([user("a")], None, {"temperature": 1})
    assert hash_call("t", {"a": 1}) == hash_call("t", '{"a":1}') != hash_call("t", {"a": 2})


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), min_size=1, max_size=8))
def test_base_and_new_always_give_the_request_back(requests):
    talk, sent, known = Conversation([]), {0: []}, {}
    for n, texts in enumerate(requests, start=1):
        messages = [user(text) for text in texts]
        answer = reply(f"answer {n}")
        _, after, base, new, _ = talk.extend(messages, answer, n)
        rebuilt = sent[after][:base] + [known[entry] if isinstance(entry, int) else entry for entry in new]
        assert rebuilt == messages
        known[n] = answer.message
        sent[n] = [*rebuilt, answer.message]


def test_branches_each_store_only_what_is_new():
    talk, branches, n = Conversation([]), [[user(f"branch {i}")] for i in range(20)], 0
    for step in range(5):
        for branch in branches:
            n += 1
            answer = reply(f"answer {n}", prompt_tokens=100 * n)
            number = talk.number(branch)
            history, after, _, new, _ = talk.extend(branch, answer, n, number)
            assert after == (n - 20 if step else 0)
            assert history == (100 * (n - 20) + 5 if step else 0)
            assert len(new) == 1
            assert number == (n - 1) % 20 + 1
            branch += [answer.message, user("on")]


def told(edit):
    """What a request has new after one with a reply that calls a tool, once `edit` has been done to the reply and the messages."""
    messages = [user("a"), user("b")]
    talk, first = Conversation(list(messages)), reply("<think>so</think> one", ("look", {"at": 1}))
    talk.extend(messages, first, 1)
    seen = {"role": "tool", "tool_call_id": "call_0", "content": "seen"}
    talk.know(seen, 2)
    messages += [first.message, seen]
    edit(messages)
    return talk.extend(messages, reply("two"), 3)


def test_a_reply_that_was_edited_before_it_is_sent_back_is_new():
    assert told(lambda messages: None) == (15, 1, 3, [2], 0)

    def strip(messages):
        messages[2]["content"] = "one"

    def call_otherwise(messages):
        messages[2]["tool_calls"][0]["function"]["arguments"] = "{}"

    def say_only(messages):
        del messages[2]["tool_calls"]

    for edit in (strip, call_otherwise, say_only):
        history, after, base, new, _ = told(edit)
        assert (history, after, base, new[1:]) == (0, 1, 2, [2])
        assert new[0]["role"] == "assistant"


def test_an_observation_that_was_edited_is_new():
    def shorten(messages):
        messages[3]["content"] = "s..."

    assert told(shorten) == (15, 1, 3, [{"role": "tool", "tool_call_id": "call_0", "content": "s..."}], 0)


def test_another_content_in_a_message_that_was_sent_is_noticed():
    def trim(messages):
        messages[0]["content"] = "[trimmed]"

    assert told(trim) == (0, 1, 0, [user("[trimmed]"), user("b"), 1, 2], 0)


def test_an_agent_that_edits_every_reply_keeps_one_conversation():
    talk, messages = Conversation([user("a")]), [user("a")]
    for n in range(1, 200):
        assert talk.number(messages) == 1
        answer = reply(f"<think>so</think>{n}")
        _, after, base, new, _ = talk.extend(messages, answer, n, 1)
        assert (after, base, len(new)) == ((n - 1, 2 * n - 3, 2) if n > 1 else (0, 1, 0))
        answer.message["content"] = f"{n}"
        messages += [answer.message, user("on")]
    assert len(talk._heads) == 2


def test_what_was_offered_long_ago_is_forgotten():
    def asked(name):
        return {"id": name, "function": {"name": "look", "arguments": "{}"}}

    offers = Offers(frozenset())
    calls = [asked(f"{i}") for i in range(2000)]
    for call in calls:
        offers.answered({"tool_calls": [call]}, frozenset({"look"}))
    assert offers.of(calls[0]) == frozenset()
    assert offers.of(calls[-1]) == offers.of(asked("1999")) == frozenset({"look"})
