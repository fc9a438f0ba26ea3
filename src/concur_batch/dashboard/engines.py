"""What is shown of each engine: window and why it moved, cache shares as sparklines. Whole or on one line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from concur_batch.dashboard.figures import NOTHING, clean, count, duration, fit, share, spark
from concur_batch.dashboard.layout import INDENT, one_line, pair, prose
from concur_batch.dashboard.pace import recent
from concur_batch.records import Sampled
from concur_batch.state import EngineView, RunState

_STYLES = {"locked": "cyan", "resident": "blue", "hit": "green", "miss": "magenta"}


def blocks(state: RunState, now: float, width: int, height: int, *, ascii_only: bool) -> list[Text]:
    """All engines in at most `height` lines: in full where they fit, else one line each, lost ones first."""
    engines = sorted(state.engines.values(), key=lambda engine: engine.lost is None)
    full = [line for engine in engines for line in _whole(engine, now, width, ascii_only=ascii_only)]
    if len(full) <= height or len(engines) == 1:
        return full[:height]
    height = max(1, height * 2 // 3)
    shown = engines if len(engines) <= height else engines[: height - 1]
    lines = [_short(engine, now, width, ascii_only=ascii_only) for engine in shown]
    if len(engines) > len(shown):
        lines.append(Text(f"and {len(engines) - len(shown)} more engines", style="dim"))
    return lines


def window(engine: EngineView, now: float) -> tuple[str, str]:
    """The limit on agents in force, and why and when it last moved."""
    if engine.decision is None:
        return NOTHING, "not decided yet"
    size = "unlimited" if engine.decision.agents is None else count(engine.decision.agents)
    moved = engine.moved
    if moved is None or moved.t > now:  # an earlier segment's clock
        return size, engine.decision.reason
    return size, f"{moved.reason} {duration(now - moved.t)} ago"


def binding(engine: EngineView, now: float) -> tuple[str, str, str]:
    """What to call the limit, how large, and why: that on tokens where a policy weighs agents by them, else the window."""
    size, why = window(engine, now)
    if engine.decision is None or engine.decision.tokens is None:
        return "window", size, why
    return "limit", f"{count(engine.decision.tokens)} tokens", why


def _whole(engine: EngineView, now: float, width: int, *, ascii_only: bool) -> list[Text]:
    seen = engine.seen
    about = [Text(clean(engine.name, ascii_only=ascii_only), style="bold")]
    if seen is not None:
        words = (seen.policy, seen.model, f"{seen.engine_kind} {seen.version or ''}".strip())
        about += [Text(clean(word, ascii_only=ascii_only)) for word in words if word and word != engine.name]
    lines = [one_line("engine", about, width), one_line("", _limits(engine, now, ascii_only=ascii_only), width)]
    lines += _sparks(engine, now, width, ascii_only=ascii_only)
    if seen is not None and seen.note:
        note = clean(seen.note, ascii_only=ascii_only)
        lines += prose("", Text("note:", style="dim"), note, "yellow", width, 2, ascii_only=ascii_only)
    return lines


def _limits(engine: EngineView, now: float, *, ascii_only: bool) -> list[Text]:
    """The window and what goes on under it, the most important first."""
    size, why = window(engine, now)
    parts = [pair("window", size, "bold", clean(f"({why})", ascii_only=ascii_only) if why else "")]
    decision, sample = engine.decision, engine.sample
    if sample is not None and sample.stale:
        parts.append(Text("no fresh reading", style="yellow"))
    if decision is not None:
        limits = (("tokens", decision.tokens), ("requests", decision.requests))
        parts += [pair(f"limit on {name}", count(limit)) for name, limit in limits if limit is not None]
    if sample is not None:
        known = (("active", sample.active), ("queued", sample.queued_requests), ("running", sample.running_requests))
        parts += [pair(name, count(value)) for name, value in known if value is not None]
    if engine.window_low != engine.window_high:
        parts.append(pair("so far", f"{count(engine.window_low)}..{count(engine.window_high)}"))
    return parts


def _short(engine: EngineView, now: float, width: int, *, ascii_only: bool) -> Text:
    label, size, why = binding(engine, now)
    name = clean(engine.name.partition("://")[2] or engine.name, ascii_only=ascii_only)
    line = Text(fit(name, min(32, max(8, width // 4)), ascii_only=ascii_only), style="bold").append("  ")
    if engine.lost is not None:
        return line.append("LOST", "bold red")
    line.append_text(pair(label, fit(size, 5 if label == "window" else 13, ascii_only=ascii_only, right=True), "bold"))
    for title, value, values in _series(engine, now):
        if title in ("locked", "hit"):
            line.append(f"  {title} ", "not bold dim").append(f"{share(value):>4} ")
            line.append(spark(values, min(20, width // 20), ascii_only=ascii_only), f"not bold {_STYLES[title]}")
    return line.append("  " + clean(why, ascii_only=ascii_only), "not bold dim")


def _sparks(engine: EngineView, now: float, width: int, *, ascii_only: bool) -> list[Text]:
    per_line = 4 if width >= 150 else 2 if width >= 50 else 1
    cells = (width - INDENT) // per_line - 2
    drawn = []
    for name, value, values in _series(engine, now):
        part = Text(f"{name:<8} ", style="dim")
        part.append(f"{share(value):>4} ", "not dim bold")
        part.append(spark(values, max(1, cells - 14), ascii_only=ascii_only), f"not dim {_STYLES[name]}")
        drawn.append(part)
    rows = (drawn[start : start + per_line] for start in range(0, len(drawn), per_line))
    return [Text(" " * INDENT).append_text(Text("  ").join(row)) for row in rows]


def _series(engine: EngineView, now: float) -> list[tuple[str, float | None, Sequence[float | None]]]:
    """Per figure its name, its value now, and its shares over the samples kept, oldest first.

    Hit and miss rates jump from one second to the next; their value now is that of the last 15 seconds.
    """
    samples = engine.samples
    told = list(recent(engine, now))
    newest = engine.sample
    return [
        ("locked", newest.locked if newest else None, [sample.locked for sample in samples]),
        ("resident", newest.resident if newest else None, [sample.resident for sample in samples]),
        ("hit", _hit(told), [_hit([sample]) for sample in samples]),
        ("miss", _miss(told), [_miss([sample]) for sample in samples]),
    ]


def _hit(samples: Sequence[Sampled]) -> float | None:
    told = [sample for sample in samples if sample.cached_tokens is not None]
    prompt = sum(sample.prompt_tokens for sample in told)
    return sum(sample.cached_tokens or 0 for sample in told) / prompt if prompt > 0 else None


def _miss(samples: Sequence[Sampled]) -> float | None:
    told = [sample for sample in samples if sample.missed_tokens is not None]
    history = sum(sample.history_tokens for sample in told)
    return sum(sample.missed_tokens or 0 for sample in told) / history if history > 0 else None
