"""What requests leave in the tree, and in which order it goes."""

from simulated import call

from concur_batch.sim.call import Call
from concur_batch.sim.radix import Node, RadixCache
from concur_batch.sim.runs import Run, length
from concur_batch.sim.storage import Storage


def admitted(cache: RadixCache, *parts: tuple[str, int], out: int = 10, rid: str = "r") -> Call:
    request = call(rid, *parts, out=out)
    request.prompt_tokens = length(request.prompt)
    again(cache, request)
    return request


def again(cache: RadixCache, request: Call) -> None:
    match = cache.match(request.sequence(), request.length - 1)
    cache.lock(match.node)
    request.node, request.depth, request.prefilled, request.held = match.node, match.device_tokens, match.device_tokens, 0
    request.fill = request.length


def prefill(storage: Storage, request: Call) -> None:
    new = request.fill - request.prefilled
    storage.extend([(request, new)])
    request.prefilled += new
    storage.keep_prompt(request)
    request.generated += 1


def leave(cache: RadixCache, name: str, tokens: int) -> None:
    """An older request's KV, unlocked."""
    cache.take(tokens)
    cache.insert(cache.root, 0, [Run(name, 0, tokens)], tokens)


def cached(cache: RadixCache, name: str, tokens: int) -> int:
    """Looking does not touch: the node is sought by hand."""
    found, node = 0, cache.root
    for child in node.children.values():
        if child.runs[0].content == name:
            found = min(tokens, child.tokens)
    return found


def test_a_prompt_that_fills_no_further_page_still_counts_as_used():
    cache = RadixCache(1_000, page=16)
    storage = Storage(cache)
    leave(cache, "mine", 32)
    leave(cache, "other", 32)
    request = admitted(cache, ("mine", 32), ("more", 5))  # touches it now,
    cache.match([Run("other", 0, 32)], 32)
    prefill(storage, request)  # and again now, although its five tokens are less than a page
    storage.release(request)
    cache.evict(1)
    assert (cached(cache, "mine", 32), cached(cache, "other", 32)) == (32, 0)


def path(node: Node | None) -> list[int]:
    """Lengths of the nodes down to this one."""
    found = []
    while node is not None and node.parent is not None:
        found.append(node.tokens)
        node = node.parent
    return found[::-1]


def test_prompt_and_reply_are_nodes_of_their_own_also_where_another_request_has_put_both_into_one():
    cache = RadixCache(1_000)
    storage = Storage(cache)
    request = admitted(cache, ("mine", 20))
    prefill(storage, request)
    storage.decode([request], 5)
    storage.release(request)
    cache.evict(1_000)
    cache.take(25)
    cache.insert(cache.root, 0, request.sequence(), 25)
    again(cache, request)
    prefill(storage, request)
    assert path(request.node) == [20, 5, 1]


def test_a_step_that_lacks_room_evicts_all_idle_kv_even_where_that_is_too_little():
    cache = RadixCache(40)
    storage = Storage(cache)
    leave(cache, "idle", 1)
    runs = [admitted(cache, (name, 13), out=20, rid=name) for name in "abc"]
    for request in runs:
        prefill(storage, request)
    assert (cache.free, cache.evictable) == (0, 1)
    assert not storage.evict_for_step(runs)
    assert (cache.free, cache.evictable) == (1, 0)
    assert storage.evict_for_step(runs[:1])
