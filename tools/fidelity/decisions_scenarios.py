"""Servers and loads whose decisions are compared: each strains one part of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass, replace

from decisions_load import Load

PLAIN = Load()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A server's flags, beside a pool of `pool_tokens`, and what it is given."""

    what: str
    flags: str = ""
    load: Load = PLAIN
    pool_tokens: int = 20_000


# Short prompts and long replies: what runs grows beyond the pool where little is reserved for it.
# The ratio rises with the first retraction and starts over when the engine is idle, therefore the waves.
GROWING = Load(waves=5, conversations=14, turns=1, shared=100, start=150, output=350, asked=250, fixed=0.0, pause_s=0.02)
CHUNKS = "--chunked-prefill-size 1024"

SCENARIOS = {
    "plain": Scenario(what="queueing, eviction, chunked prefill, the reserve and its ratio", flags=CHUNKS),
    "retraction": Scenario(
        what="admits more than the pool can hold, so that decoding runs out of room",
        flags=f"{CHUNKS} --schedule-conservativeness 0.05",
        load=replace(GROWING, seed=1),
        pool_tokens=2_500,
    ),
    "pages": Scenario(what="a page of 16 tokens", flags=f"{CHUNKS} --page-size 16", load=Load(seed=2)),
    "pages-retraction": Scenario(
        what="a page of 16 tokens, and decoding runs out of room",
        flags=f"{CHUNKS} --page-size 16 --schedule-conservativeness 0.05",
        load=replace(GROWING, seed=3),
        pool_tokens=2_500,
    ),
    "slots": Scenario(what="four places in the running batch", flags="--max-running-requests 4", load=Load(seed=4)),
    "sessions": Scenario(
        what="the KV of closed sessions goes first",
        flags=f"{CHUNKS} --enable-session-radix-cache",
        load=Load(sessions=True, seed=5),
    ),
    "lpm": Scenario(what="longest cached prefix first", flags=f"{CHUNKS} --schedule-policy lpm", load=Load(seed=6)),
    "priority": Scenario(
        what="urgent requests overtake others and take their places",
        flags=f"{CHUNKS} --enable-priority-scheduling --max-running-requests 6",
        load=Load(priorities=True, seed=7),
    ),
    "aborts": Scenario(what="one request in five is given up by its client", flags=CHUNKS, load=Load(aborted=0.2, seed=8)),
}
