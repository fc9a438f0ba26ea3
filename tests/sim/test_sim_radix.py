from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from concur_batch.sim.radix import RadixCache
from concur_batch.sim.runs import Run, head, length


def conversation(*turns):
    """Runs by name and length: equal names are equal tokens."""
    return [Run(name, 0, tokens) for name, tokens in turns]


def nodes(cache):
    found, stack = [], list(cache.root.children.values())
    while stack:
        node = stack.pop()
        found.append(node)
        stack.extend(node.children.values())
    return found


def audit(cache):
    """Free + evictable + locked = capacity, and each of them is what the tree says."""
    tree = nodes(cache)
    assert cache.free + cache.evictable + cache.protected + cache.private == cache.capacity
    assert cache.evictable == sum(node.tokens for node in tree if node.device and not node.lock)
    assert cache.protected == sum(node.tokens for node in tree if node.device and node.lock)
    assert cache.host_used == sum(node.tokens for node in tree if node.host)
    assert cache.host_used <= cache.host_capacity
    assert min(cache.free, cache.private) >= 0
    for node in tree:
        assert node.tokens == length(node.runs) > 0
        assert node.tokens % cache.page == 0
        assert node.device or node.host
        assert node.device_children == sum(child.device for child in node.children.values())
        assert node.parent.children[node.key] is node
        assert node.parent.time >= node.time - 1 or node.parent is cache.root  # a new leaf is newer by one
        assert node.lock <= node.parent.lock or node.parent is cache.root
        assert node.device <= node.parent.device


def store(cache, runs):
    """As a request that has computed all of it and ends. Returns how many tokens it had to compute."""
    tokens = length(runs) - length(runs) % cache.page
    match = cache.match(runs, tokens)
    cache.lock(match.node)
    need = tokens - match.device_tokens
    if cache.free < need:
        cache.evict(need - cache.free)
    cache.take(need)
    _, taken = cache.insert(match.node, match.device_tokens, runs, tokens)
    cache.give_back(need - taken)
    cache.unlock(match.node)
    return need


def test_a_prefix_hits_and_a_node_is_split_where_two_conversations_part():
    cache = RadixCache(100)
    assert store(cache, conversation(("system", 10), ("a", 20))) == 30
    assert store(cache, conversation(("system", 10), ("b", 5))) == 5
    assert sorted(node.tokens for node in nodes(cache)) == [5, 10, 20]
    assert cache.match(conversation(("system", 10), ("a", 8)), 99).device_tokens == 18
    audit(cache)


def test_text_that_begins_alike_shares_tokens():
    cache = RadixCache(100)
    store(cache, [Run("You are good. Do this!", 0, 6, 4.0)])
    assert cache.match([Run("You are good. Do that!", 0, 6, 4.0)], 99).device_tokens == 4
    audit(cache)


def test_the_least_recently_used_conversation_is_eaten_from_its_end():
    cache = RadixCache(60)
    old, new = conversation(("old", 10), ("old2", 10)), conversation(("new", 10), ("new2", 10))
    store(cache, old[:1])
    store(cache, new[:1])
    store(cache, new)
    store(cache, old)
    cache.match(new, 99)  # a look is a use
    cache.evict(5)
    assert cache.match(old, 99).device_tokens == 10  # and this makes the rest of it the newest
    cache.evict(11)
    assert cache.match(new, 99).device_tokens == 0
    assert cache.match(old, 99).device_tokens == 10
    assert cache.evicted_total == 30
    audit(cache)


def test_what_is_locked_is_not_evicted():
    cache = RadixCache(60)
    store(cache, conversation(("a", 20)))
    store(cache, conversation(("b", 20)))
    node = cache.match(conversation(("a", 20)), 99).node
    cache.lock(node)
    assert cache.evict(60) == 20
    assert (cache.evictable, cache.protected, cache.free) == (0, 20, 40)
    cache.unlock(node)
    assert cache.evict(60) == 20
    audit(cache)


def test_matches_and_nodes_are_whole_pages():
    cache = RadixCache(64, page=8)
    store(cache, conversation(("a", 20)))
    assert cache.match(conversation(("a", 13), ("b", 9)), 99).device_tokens == 8
    assert cache.match(conversation(("a", 20)), 99).device_tokens == 16
    audit(cache)


def test_host_memory_keeps_what_the_pool_loses_and_gives_it_back():
    cache = RadixCache(40, host_capacity=80)
    first = conversation(("a", 20), ("a2", 12))
    store(cache, first)
    store(cache, conversation(("b", 40)))
    match = cache.match(first, 99)
    assert (match.device_tokens, match.host_tokens) == (0, 32)
    assert cache.load_back(match) == 32
    assert cache.match(first, 99).device_tokens == 32
    audit(cache)


def test_a_full_host_forgets_its_oldest():
    cache = RadixCache(20, host_capacity=40)
    for name in "abc":
        store(cache, conversation((name, 20)))
    found = {name: cache.match(conversation((name, 20)), 99) for name in "abc"}
    assert [(found[name].device_tokens, found[name].host_tokens) for name in "abc"] == [(0, 0), (0, 20), (20, 0)]
    audit(cache)


def test_the_dead_go_before_the_living():
    cache = RadixCache(60, sessions=True)
    live, dead = conversation(("live", 20)), conversation(("dead", 20))
    for name, runs in (("L", live), ("D", dead)):
        store(cache, runs)
        cache.tag(cache.match(runs, 99).node, name)
    assert cache.close_session("D") == 1
    assert cache.match(dead, 99).device_tokens == 20  # closing frees nothing, and this use makes it the most recent
    cache.evict(1)
    assert cache.match(dead, 99).device_tokens == 0
    assert cache.match(live, 99).device_tokens == 20
    assert cache.close_session("never opened") == 0
    audit(cache)


class Machine(RuleBasedStateMachine):
    """Requests come, lock, grow, end, are dropped; the accounts hold after each move."""

    held = Bundle("held")

    def __init__(self):
        super().__init__()
        self.cache = None
        self.active = {}

    @precondition(lambda self: self.cache is None)
    @rule(page=st.sampled_from([1, 1, 4]), host=st.sampled_from([0, 0, 30, 200]), sessions=st.booleans())
    def start(self, page, host, sessions):
        self.cache = RadixCache(100, page, host_capacity=host, sessions=sessions)

    @precondition(lambda self: self.cache is not None)
    @rule(parts=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 12)), min_size=1, max_size=5), load=st.booleans())
    def arrive(self, parts, load):
        runs = [Run(name + str(i), 0, tokens) for i, (name, tokens) in enumerate(parts)]
        total = length(runs) - length(runs) % self.cache.page
        match = self.cache.match(runs, total)
        self.cache.lock(match.node)
        node, depth = match.node, match.device_tokens
        if load and self.cache.load_back(match):
            self.cache.lock(match.host_node, node)
            node, depth = match.host_node, depth + match.host_tokens
        need = total - depth
        if self.cache.free + self.cache.evictable < need:
            self.cache.unlock(node)
            return
        if self.cache.free < need:
            self.cache.evict(need - self.cache.free)
        self.cache.take(need)
        self.active[len(self.active) + 1000 * self.cache._clock] = (runs, node, depth, total, need)

    @precondition(lambda self: self.active)
    @rule(data=st.data(), keep=st.booleans())
    def leave(self, data, keep):
        key = data.draw(st.sampled_from(sorted(self.active)))
        runs, node, depth, total, held = self.active.pop(key)
        if keep and total > depth:
            end, taken = self.cache.insert(node, depth, runs, total)
            self.cache.give_back(held - taken)
            self.cache.tag(end, str(key % 3))
        else:
            self.cache.give_back(held)
        self.cache.unlock(node)

    @precondition(lambda self: self.cache is not None)
    @rule(tokens=st.integers(1, 60))
    def evict(self, tokens):
        evictable = self.cache.evictable
        order = sorted(
            (self.cache._rank(node) for node in nodes(self.cache) if self.cache._is_leaf(node)),
        )
        before = {id(node): self.cache._rank(node) for node in nodes(self.cache) if self.cache._is_leaf(node)}
        freed = self.cache.evict(tokens)
        assert freed >= min(tokens, evictable)
        gone = [rank for key, rank in before.items() if key not in {id(n) for n in nodes(self.cache) if n.device}]
        assert not gone or min(gone) == order[0]  # the first victim was the first in order

    @precondition(lambda self: self.cache is not None)
    @rule(session=st.integers(0, 2))
    def close(self, session):
        self.cache.close_session(str(session))

    @invariant()
    def accounts(self):
        if self.cache is not None:
            audit(self.cache)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30)


@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6)), min_size=1, max_size=4), max_size=8))
def test_a_match_is_the_longest_prefix_that_was_stored(stored):
    cache = RadixCache(10_000)
    for parts in stored:
        store(cache, conversation(*parts))
    tokens = [[run.token(i) for run in conversation(*parts) for i in range(len(run))] for parts in stored]
    for parts in stored:
        asked = [*head(conversation(*parts), 5), Run("b", 0, 3)]
        mine = [run.token(i) for run in asked for i in range(len(run))]
        best = max(
            next((i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), min(len(mine), len(other)))
            for other in tokens
        )
        assert cache.match(asked, 99).device_tokens == best
