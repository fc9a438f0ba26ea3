"""SGLang's radix cache: a tree of token runs over one pool of KV slots, with locks, LRU eviction and an optional host tier.

After `mem_cache/radix_cache.py` and `mem_cache/hiradix_cache.py` (0.5.23). Every token of the pool is free, evictable (in the
tree, unlocked), or locked (in the tree under a lock, or held by a request outside of it); the three add up to the capacity.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from concur_batch.sim.runs import Cursor, Run, Sequence_, head, tail

LOAD_BACK_LEAST = 10  # host tokens below which SGLang computes rather than loads (hiradix_cache.py, load_back_threshold)

Key: TypeAlias = tuple[bool, int, int]


class Node:
    """A run of tokens below its parent's. `device`: its KV is in the pool; `host`: a copy is in host memory."""

    __slots__ = ("children", "device", "device_children", "host", "key", "lock", "parent", "runs", "sessions", "time", "tokens")

    def __init__(self, parent: Node | None, key: Hashable, runs: list[Run], tokens: int, time: int) -> None:
        self.parent = parent
        self.key = key  # by which the parent knows it
        self.runs = runs
        self.tokens = tokens
        self.time = time  # of the last access
        self.children: dict[Hashable, Node] = {}
        self.lock = 0  # running requests that need it
        self.device = True
        self.device_children = 0
        self.host = False
        self.sessions: set[str] | None = None  # open sessions whose finished requests left it


class Match(NamedTuple):
    """The longest cached prefix: `device_tokens` in the pool down to `node`, then `host_tokens` in host memory down to `host_node`."""

    node: Node
    device_tokens: int
    host_node: Node
    host_tokens: int


class RadixCache:
    """The pool and its tree.

    Args:
        capacity: of the pool, in tokens.
        page: tokens per page; all node lengths are multiples of it.
        host_capacity: of host memory, in tokens; 0: no host tier.
        sessions: evict what no open session refers to first (`--enable-session-radix-cache`).
    """

    def __init__(self, capacity: int, page: int = 1, *, host_capacity: int = 0, sessions: bool = False) -> None:
        self.capacity = capacity - capacity % page
        self.page = page
        self.free = self.capacity
        self.evictable = 0
        self.protected = 0  # in the tree and locked
        self.private = 0  # held by requests, not in the tree
        self.evicted_total = 0
        self.host_capacity = host_capacity
        self.host_used = 0
        self._clock = 0
        self._serial = 0
        self._with_sessions = sessions
        self._open: dict[str, set[Node]] = {}
        self._heap: list[tuple[Key, int, Node]] = []
        self._host_heap: list[tuple[int, int, Node]] = []
        self.root = Node(None, None, [], 0, 0)
        self.root.lock = 1

    @property
    def locked(self) -> int:
        """What running requests hold, in the tree and outside."""
        return self.protected + self.private

    # Looking up -------------------------------------------------------------------------------------------------------

    def match(self, sequence: Sequence_, limit: int) -> Match:
        """The longest cached prefix of at most `limit` tokens; touches every node on the path, splits the last one where the match ends inside it."""
        self._clock += 1
        node, _, _ = self._walk(self.root, Cursor(sequence), limit)
        device_node, device, host = node, 0, 0
        while not device_node.device and device_node.parent is not None:
            host += device_node.tokens
            device_node = device_node.parent
        up: Node | None = device_node
        while up is not None:
            device += up.tokens
            up = up.parent
        return Match(device_node, device, node, host)

    def _walk(self, node: Node, cursor: Cursor, limit: int) -> tuple[Node, Cursor, int]:
        """Down from `node` along the cursor; returns the last node, the cursor behind it, and how many tokens were matched."""
        page, now, matched = self.page, self._clock, 0
        limit -= limit % page
        while matched < limit:
            key = cursor.key(page)
            child = node.children.get(key) if key is not None else None
            if child is None:
                break
            child.time = now
            start = cursor.copy() if page > 1 else None
            same = cursor.follow(child.runs, min(limit - matched, child.tokens))
            if page > 1 and same % page:
                assert start is not None
                same -= same % page
                cursor = start
                cursor.skip(same)
            matched += same
            if same < child.tokens:
                node = self._split(child, same)
                break
            node = child
        return node, cursor, matched

    def _split(self, child: Node, tokens: int) -> Node:
        """Cut a node in two; the upper part, of `tokens` tokens, is returned."""
        parent = child.parent
        assert parent is not None
        upper = Node(parent, child.key, head(child.runs, tokens), tokens, self._clock)
        upper.lock, upper.device, upper.host = child.lock, child.device, child.host
        upper.device_children = 1 if child.device else 0
        if child.sessions:
            upper.sessions = set(child.sessions)
            for session in upper.sessions:
                self._open[session].add(upper)
        parent.children[child.key] = upper
        child.runs = tail(child.runs, tokens)
        child.tokens -= tokens
        child.parent = upper
        child.key = Cursor(child.runs).key(self.page)
        upper.children[child.key] = child
        return upper

    # Putting in -------------------------------------------------------------------------------------------------------

    def insert(self, node: Node, depth: int, sequence: Sequence_, stop: int) -> tuple[Node, int]:
        """Put tokens `depth` to `stop` of `sequence` below `node`, which ends at `depth`; touches the whole path. `stop` is a
        multiple of the page.

        Returns the node that ends at `stop`, and how many tokens moved from the private ones into the tree; the others were in
        it already, and their private twins are the caller's to release.
        """
        self._clock += 1
        cursor = Cursor(sequence)
        cursor.skip(depth)
        top = node
        while node.parent is not None:
            node.time = self._clock
            node = node.parent
        node, cursor, matched = self._walk(top, cursor, stop - depth)
        taken = 0
        up = node
        while up is not top:
            if not up.device:  # computed again although host memory had it
                self._to_device(up)
                taken += up.tokens
            assert up.parent is not None
            up = up.parent
        left = stop - depth - matched
        if left:
            node = self._add(node, cursor.rest(left), left)
            taken += left
        self.private -= taken
        if self.host_capacity and node is not top:
            self._write_through(node)
        return node, taken

    def _add(self, parent: Node, runs: list[Run], tokens: int) -> Node:
        self._clock += 1  # newer than a remainder that has just been split off
        node = Node(parent, Cursor(runs).key(self.page), runs, tokens, self._clock)
        node.device = False
        parent.children[node.key] = node
        self._to_device(node)
        return node

    def _to_device(self, node: Node) -> None:
        """It has slots now; unlocked."""
        node.device = True
        self.evictable += node.tokens
        assert node.parent is not None
        node.parent.device_children += 1
        self._offer(node)

    def tag(self, node: Node, session: str) -> None:
        """A request of this session has finished, and its path ends at `node`."""
        if not self._with_sessions:
            return
        nodes = self._open.setdefault(session, set())
        while node.parent is not None:
            nodes.add(node)
            if node.sessions is None:
                node.sessions = set()
            node.sessions.add(session)
            node = node.parent

    def close_session(self, session: str) -> int:
        """Its KV is dead: still there, but evicted before that of open sessions. Returns the number of nodes that it referred to."""
        nodes = self._open.pop(session, set())
        for node in nodes:
            assert node.sessions is not None
            node.sessions.discard(session)
            self._offer(node)
        return len(nodes)

    # Locks ------------------------------------------------------------------------------------------------------------

    def lock(self, node: Node, top: Node | None = None) -> None:
        """A request needs the whole path down to `node`; from below `top` on, where the rest is locked already."""
        while node is not top and node.parent is not None:
            if not node.lock:
                self.evictable -= node.tokens
                self.protected += node.tokens
            node.lock += 1
            node = node.parent

    def unlock(self, node: Node) -> None:
        """It does no longer."""
        while node.parent is not None:
            node.lock -= 1
            if not node.lock:
                self.evictable += node.tokens
                self.protected -= node.tokens
                self._offer(node)
            node = node.parent

    # Slots ------------------------------------------------------------------------------------------------------------

    def take(self, tokens: int) -> None:
        """Slots for a request, from the free ones; the caller has made room."""
        if tokens > self.free:
            raise AssertionError(f"{tokens} slots asked for, {self.free} free")
        self.free -= tokens
        self.private += tokens

    def give_back(self, tokens: int) -> None:
        """A request's private slots become free."""
        self.private -= tokens
        self.free += tokens

    def evict(self, tokens: int) -> int:
        """Free at least so many evictable tokens where there are so many, whole nodes, least recently used first."""
        evicted = 0
        heap = self._heap
        while evicted < tokens and heap:
            key, _, node = heapq.heappop(heap)
            if not self._is_leaf(node):
                continue
            if key != self._rank(node):
                self._offer(node)
                continue
            evicted += node.tokens
            self._leave_device(node)
        self.evicted_total += evicted
        return evicted

    def _leave_device(self, node: Node) -> None:
        parent = node.parent
        assert parent is not None
        node.device = False
        self.evictable -= node.tokens
        self.free += node.tokens
        parent.device_children -= 1
        if node.host:
            self._offer_host(node)
        else:
            self._delete(node)
        self._offer(parent)

    def _delete(self, node: Node) -> None:
        parent = node.parent
        assert parent is not None
        del parent.children[node.key]
        for session in node.sessions or ():
            self._open[session].discard(node)
        self._offer_host(parent)

    def _is_leaf(self, node: Node) -> bool:
        return node.device and not node.lock and not node.device_children

    def _rank(self, node: Node) -> Key:
        """What is evicted first is smallest: of no open session, of few, least recently used."""
        sessions = len(node.sessions) if node.sessions else 0
        return bool(sessions), sessions, node.time

    def _offer(self, node: Node) -> None:
        """It may have become the next to evict. Entries that are out of date are dropped when they come up."""
        if self._is_leaf(node):
            self._serial += 1
            heapq.heappush(self._heap, (self._rank(node), self._serial, node))

    # Host memory ------------------------------------------------------------------------------------------------------

    def load_back(self, match: Match) -> int:
        """Bring the host part of a match into the pool. Returns its tokens; 0 where it is too little or there is no room."""
        tokens = match.host_tokens
        if tokens < LOAD_BACK_LEAST:
            return 0
        self.lock(match.node)
        if self.free < tokens:
            self.evict(tokens - self.free)
        self.unlock(match.node)
        if self.free < tokens:
            return 0
        path = []
        node = match.host_node
        while node is not match.node:
            path.append(node)
            assert node.parent is not None
            node = node.parent
        self.free -= tokens
        for node in reversed(path):
            self._to_device(node)
        return tokens

    def _write_through(self, node: Node) -> None:
        """Copies of the whole path down to `node`, top first, as far as there is room."""
        path = []
        while node.parent is not None and not node.host:
            path.append(node)
            node = node.parent
        for node in reversed(path):
            self._make_host_room(node.tokens)
            if self.host_used + node.tokens > self.host_capacity:
                return
            node.host = True
            self.host_used += node.tokens

    def _make_host_room(self, tokens: int) -> None:
        heap = self._host_heap
        while self.host_used + tokens > self.host_capacity and heap:
            time, _, oldest = heapq.heappop(heap)
            if not self._is_host_leaf(oldest):
                continue
            if time != oldest.time:
                self._offer_host(oldest)
                continue
            self.host_used -= oldest.tokens
            oldest.host = False
            self._delete(oldest)

    def _is_host_leaf(self, node: Node) -> bool:
        return node.host and not node.device and not node.children

    def _offer_host(self, node: Node) -> None:
        if self._is_host_leaf(node):
            self._serial += 1
            heapq.heappush(self._host_heap, (node.time, self._serial, node))
