"""The dashboard as a picture of the state: pure, cheap, and never wider or higher than it is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from rich.console import Group
from rich.text import Text

from concur_batch.dashboard import agents, engines, pace
from concur_batch.dashboard.figures import NOTHING, clean, count, duration, milliseconds, rate, share
from concur_batch.dashboard.layout import ends, flow, one_line, pair, prose
from concur_batch.state import RunState

View: TypeAlias = Literal["main", "errors"]

LAG_S = 0.25  # a loop this late is worth a look


def render(
    state: RunState,
    now: float,
    width: int,
    height: int,
    *,
    title: str = "",
    ascii_only: bool = False,
    show_agents: bool = True,
    view: View = "main",  # noqa: ARG001  to come
    keys: bool = False,  # noqa: ARG001  to come
) -> Group:
    """At most `height` lines of at most `width` cells. `now`: seconds on the clock of the present segment.

    `view`: the run, or all of the screen for its errors, grouped by class. `keys`: name the keys at the foot.

    Changes nothing. Where there is no room the least important parts go first: agents, then speed, then the rest from below.
    """
    alerts = _alerts(state, now, width, ascii_only=ascii_only)
    head = [_head(state, now, width, title, ascii_only=ascii_only), _progress(state, now, width, ascii_only=ascii_only)]
    who = _agents(state, width)
    error = _error(state, width, ascii_only=ascii_only)
    speed = _speed(state, now, width)
    fixed = len(head) + len(alerts) + len(who) + len(error)
    machines = engines.blocks(state, now, width, max(1, min(height // 2, height - fixed)), ascii_only=ascii_only)
    if fixed + len(speed) + len(machines) > height:
        speed = []
    lines = [*head, *alerts, *who, *speed, *machines, *error]
    if show_agents:
        spaced = [Text()] if height >= 16 else []
        rows = agents.table(state, now, width, height - len(lines) - len(spaced), ascii_only=ascii_only)
        lines += [*spaced, *rows] if rows else []
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
        line.truncate(max(0, width), overflow="crop")
    return Group(*lines[: max(0, height)])


def _head(state: RunState, now: float, width: int, title: str, *, ascii_only: bool) -> Text:
    left = Text.assemble(("concur", "bold"), f"  {clean(title, ascii_only=ascii_only)}")
    lag = "bold red" if state.lag_s >= LAG_S else ""
    right = Text.assemble(
        ("loop lag ", "dim"),
        (milliseconds(state.lag_s), lag),
        ("  elapsed ", "dim"),
        duration(state.elapsed_before + now),
    )
    return ends(left, right, width)


def _progress(state: RunState, now: float, width: int, *, ascii_only: bool) -> Text:
    total, ended = state.rollouts, len(state.ended)
    if not total:
        return Text("reading the job", style="dim")
    text = f"  {ended:,} of {total:,}  {share(min(ended / total, 1.0) if total > 0 else None)}"
    left = pace.left_s(state, now)
    if left is not None:
        text += f"  {duration(left)} left{_clock_time(state.epoch, now + left)}"
    cells = max(10, width - len(text))
    full = min(cells, max(0, ended * cells // max(1, total)))
    failed = min(full, -(-state.failed * cells // max(1, total))) if state.failed > 0 else 0
    done_mark, rest_mark = ("#", "-") if ascii_only else ("━", "─")
    return Text.assemble(
        (done_mark * (full - failed), "green"),
        (done_mark * failed, "red"),
        (rest_mark * (cells - full), "dim"),
        (text, ""),
    )


def _clock_time(epoch: float, at: float) -> str:
    """` (14:32)`, with the date where it is not within a day; empty where the clock's zero is not known."""
    try:
        moment = datetime.fromtimestamp(epoch + at, tz=UTC).astimezone()
        near = at < timedelta(hours=20).total_seconds()
        return moment.strftime(" (%H:%M)" if near else " (%d %b %H:%M)") if epoch else ""
    except (ValueError, OverflowError, OSError):  # beyond what a calendar can say
        return ""


def _alerts(state: RunState, now: float, width: int, *, ascii_only: bool) -> list[Text]:
    lines = []
    for engine in state.engines.values():
        if engine.lost is not None:
            message = clean(f"{engine.name} for {duration(now - engine.lost.t)}: {engine.lost.message}", ascii_only=ascii_only)
            lines += prose("", Text("ENGINE LOST", style="bold red"), message, "red", width, 2, ascii_only=ascii_only)
    if state.finished is not None:
        lines += flow("", [Text(clean(f"ended: {state.finished}", ascii_only=ascii_only), style="bold")], width)
    elif state.draining is not None:
        cause = clean(state.draining, ascii_only=ascii_only)
        remark = f"({cause}): {state.active:,} agents end their step"
        lines += prose("", Text("DRAINING", style="bold yellow"), remark, "yellow", width, 2, ascii_only=ascii_only)
    return lines


def _agents(state: RunState, width: int) -> list[Text]:
    statuses = state.statuses
    failed, cancelled, completed = state.failed, statuses["cancelled"], statuses["completed"]
    limited = len(state.ended) - failed - cancelled - completed
    parts = [
        pair("active", count(state.active), "bold green"),
        pair("paused", count(state.paused), "bold yellow"),
        pair("waiting", count(state.unstarted), "bold"),
        pair(
            "done", count(len(state.ended) - failed - cancelled), "bold", f"({count(limited)} at a limit)" if limited > 0 else ""
        ),
        pair("failed", count(failed), "bold red" if failed else "bold"),
    ]
    if cancelled:
        parts.append(pair("cancelled", count(cancelled), "bold"))
    return flow("agents", parts, width)


def _speed(state: RunState, now: float, width: int) -> list[Text]:
    out, into = ("generated", "prompt") if width >= 66 else ("out", "in")
    lines: list[Text] = []
    for label, speed in (("last 15 s", pace.current(state, now)), ("overall", pace.overall(state, now))):
        steps, generated, prompt = (
            (rate(speed.steps), rate(speed.generated_tokens), rate(speed.prompt_tokens)) if speed else (NOTHING,) * 3
        )
        parts = [
            Text.assemble((f"{steps:>6}", "bold"), (" steps/s", "dim")),
            Text.assemble((f"{generated:>6}", "bold"), (f" tok/s {out}", "dim")),
            Text.assemble((f"{prompt:>6}", "bold"), (f" tok/s {into}", "dim")),
        ]
        lines.append(one_line(label, parts, width))
    return lines


def _error(state: RunState, width: int, *, ascii_only: bool) -> list[Text]:
    newest = state.newest_error
    if newest is None or newest.error is None:
        return []
    where = Text(f"{clean(newest.rollout, ascii_only=ascii_only)} {clean(newest.error.error_class, ascii_only=ascii_only)}:")
    message = clean(newest.error.message, ascii_only=ascii_only)
    return prose("error", where, message, "red", width, 2, ascii_only=ascii_only)
