"""The upper lines: what is run and for how long, how far it is, and what must not be missed. And the lowest: which keys there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.text import Text

from concur_batch.dashboard import colours, figures, pace
from concur_batch.dashboard.figures import count, duration, milliseconds, share, size
from concur_batch.dashboard.layout import GAP, ends, label, prose
from concur_batch.dashboard.scene import Scene
from concur_batch.state import RunState

LAG_S = 0.25  # a loop this late is worth a look
BUSY = 0.8  # of a core: the runner is about to be what slows the agents down


def title(scene: Scene, width: int) -> Text:
    """The run's name, how the runner is, and the time it has taken."""
    left = Text.assemble(("concur", "bold"), GAP, scene.clean(scene.title))
    time = Text.assemble(("elapsed ", "dim"), (duration(scene.elapsed), "bold"))
    both = Text.assemble(_health(scene), GAP, time)
    for right in (both, time, time[len("elapsed ") :]):
        if left.cell_len + right.cell_len + len(GAP) <= width:
            return ends(left, right, width)
    return left


def _health(scene: Scene) -> Text:
    """The runner's own: how late its loop is, how much of a core and of memory it takes."""
    measured = scene.state.runner
    lag = scene.state.lag_s if measured is None else max(measured.lag_s, scene.state.lag_s)
    text = Text.assemble(("lag ", "dim"), (f"{milliseconds(lag):>6}", "bold red" if lag >= LAG_S else ""))
    if measured is not None and measured.seconds > 0:
        core = measured.cpu_s / measured.seconds
        text.append(f"{GAP}CPU ", "dim").append(f"{share(core):>4}", "bold yellow" if core >= BUSY else "")
        text.append(f"{GAP}memory ", "dim").append(f"{size(measured.resident_bytes):>6}")
    return text


def progress(scene: Scene, width: int) -> Text:
    """How many have ended, in green, those that failed in red; and when it may be over."""
    state = scene.state
    total, ended = state.rollouts, len(state.ended)
    if not total and not ended:
        return Text("no rollouts" if state.max_agents or state.finished else "reading the job", style="dim")
    text = f"  {ended:,} of {total:,} {figures.progress(ended, total):>4}"
    left = pace.left_s(state, scene.now)
    if left is not None:
        for more, bar in ((f"  {duration(left):>5} left", 0), (_clock_time(state.epoch, scene.now + left), 10)):
            text += more if len(text) + len(more) + bar <= width else ""
    cells = max(0, width - len(text))
    full = min(cells, max(0, ended * cells // max(1, total)))
    failed = min(full, -(-state.failed * cells // max(1, total))) if state.failed > 0 else 0
    done = scene.sign("━", "#")
    return Text.assemble(
        (done * (full - failed), colours.ACTIVE),
        (done * failed, colours.LOST),
        (scene.sign("─", "-") * (cells - full), "dim"),
        (text, "bold"),
    )


def _clock_time(epoch: float, at: float) -> str:
    """` (14:32)`, with the date where it is not within a day; empty where the clock's zero is not known."""
    try:
        moment = datetime.fromtimestamp(epoch + at, tz=UTC).astimezone()
        near = at < timedelta(hours=20).total_seconds()
        return moment.strftime(" (%H:%M)" if near else " (%d %b %H:%M)") if epoch else ""
    except (ValueError, OverflowError, OSError):  # beyond what a calendar can say
        return ""


def alerts(scene: Scene, width: int) -> list[Text]:
    """What must not be missed; nothing where all goes its way."""
    state, lines = scene.state, []
    for engine in state.engines.values():
        if engine.lost is not None:
            message = scene.clean(f"{engine.name} for {duration(scene.now - engine.lost.t)}: {engine.away}")
            start = Text.assemble(label("lost"), ("ENGINE LOST ", "bold red"))
            lines += prose(start, message, colours.LOST, width, 2, ascii_only=scene.ascii_only)
    if state.finished is not None:
        lines.append(Text.assemble(label("ended"), (scene.clean(state.finished), "bold")))
    elif state.draining is not None:
        cause = scene.clean(state.draining)
        start = Text.assemble(label("drain"), ("DRAINING ", "bold yellow"))
        ending = "1 agent ends its step" if state.active == 1 else f"{count(state.active)} agents end their step"
        lines += prose(start, f"({cause}): {ending}", colours.HELD, width, 2, ascii_only=scene.ascii_only)
    said = by_hand(state, scene.times)
    if said:
        lines.append(Text.assemble(label("steered"), (GAP.join(said), "bold yellow")))
    return lines


def by_hand(state: RunState, times: str) -> list[str]:
    """What a person has asked for by key."""
    steered = state.by_hand
    said = ["admission held by hand"] if steered.held else []
    if steered.factor != 1.0:
        factor = f"{steered.factor:.2f}".rstrip("0").rstrip(".")
        said.append(f"limit {times}{factor} by hand")
    return said


def keys(scene: Scene, width: int, *, errors: bool = False) -> Text:
    """What keys there are, for the lowest line."""
    named = [("e", "back" if errors else "errors"), ("q", "drain" if scene.steering else "leave")]
    if scene.steering and scene.state.draining is not None:  # what would let agents in, or drain, does nothing more
        named = [named[0], *([("Ctrl-C", "stop at once")] if scene.state.draining != "engine" else [])]
    elif scene.steering:
        steered = scene.state.steered
        own = [("p", "release" if steered is not None and steered.held else "hold"), ("+/-", "limit")]
        named = [*own, *([("0", "as decided")] if steered is not None and steered.factor != 1.0 else []), *named]
    text = Text(GAP.join(f"{key} {what}" for key, what in named), style="dim")
    return text if text.cell_len <= width else Text(" ".join(key for key, _ in named), style="dim")
