"""The simulator's radix cache in the role of the one that is examined: it is told of requests, and says what it evicts."""

from __future__ import annotations

from concur_batch.sim.call import Call
from concur_batch.sim.radix import Node, RadixCache
from concur_batch.sim.runs import Run, head
from concur_batch.sim.storage import Storage

ROOM = 1 << 40  # nothing is evicted but what the sequence evicts


class Watched(RadixCache):
    """Keeps what leaves it, as (prefix length, token) with the text before it: the same token elsewhere is another one."""

    gone: list[str]

    def _leave_device(self, node: Node) -> None:
        above, up = 0, node.parent
        texts = [_text(node)]
        while up is not None:
            above += up.tokens
            texts.append(_text(up))
            up = up.parent
        whole = "".join(reversed(texts))
        self.gone += [whole[: above + i + 1] for i in range(node.tokens)]
        super()._leave_device(node)


def _text(node: Node) -> str:
    return "".join(run.text(run.start, run.stop) for run in node.runs)


class Ours:
    """Of one page size; `sessions`: what no open session refers to is evicted first."""

    name = "simulator"

    def __init__(self, page: int, *, sessions: bool) -> None:
        self.cache = Watched(ROOM, page, sessions=sessions)
        self._storage = Storage(self.cache)
        self._calls: dict[str, Call] = {}

    def admit(self, rid: str, prompt: str, output: str, session: str | None) -> int:
        """A request comes, and is admitted; returns its cached tokens. `output`: all that it will ever say."""
        call = Call(rid=rid, prompt=_run(prompt), output=_run(output), session=session, prompt_tokens=len(prompt))
        self._calls[rid] = call
        return self._begin(call)

    def again(self, rid: str) -> int:
        """A request that was retracted is admitted again; returns its cached tokens."""
        return self._begin(self._calls[rid])

    def _begin(self, call: Call) -> int:
        match = self.cache.match(call.sequence(), call.length - 1)
        self.cache.lock(match.node)
        call.node, call.depth, call.prefilled, call.fill, call.held = (
            match.node,
            match.device_tokens,
            match.device_tokens,
            call.length,
            0,
        )
        return match.device_tokens

    def prefill(self, rid: str, tokens: int) -> None:
        """So many more of its tokens have been computed."""
        call = self._calls[rid]
        self._storage.extend([(call, tokens)])
        call.prefilled += tokens
        self._storage.keep_prompt(call)
        if call.prefilled == call.fill:
            call.generated += 1

    def decode(self, rid: str, tokens: int) -> None:
        """It generates so many."""
        self._storage.decode([self._calls[rid]], tokens)

    def finish(self, rid: str) -> None:
        """It has ended."""
        self._storage.finish(self._calls.pop(rid), tag=True)

    def retract(self, rid: str) -> None:
        """It loses its KV."""
        self._storage.release(self._calls[rid])

    def touch(self, text: str) -> None:
        """As a waiting request's prefix is."""
        self.cache.match(_run(text), len(text))

    def close(self, session: str) -> None:
        """Its KV is dead, also what its requests under way will leave."""
        for call in self._calls.values():
            if call.session == session:
                call.session = None
        self.cache.close_session(session)

    def evict(self, tokens: int) -> list[str]:
        """Every token that goes, in order, each told by the text up to it."""
        self.cache.gone = []
        self.cache.evict(tokens)
        return self.cache.gone

    def sizes(self) -> tuple[int, int]:
        """Evictable and protected tokens."""
        return self.cache.evictable, self.cache.protected

    def text(self, rid: str) -> str:
        """Prompt and output so far."""
        return "".join(run.text(run.start, run.stop) for run in self._calls[rid].sequence())


def _run(text: str) -> list[Run]:
    return head([Run(text, 0, len(text), 1.0)], len(text))
