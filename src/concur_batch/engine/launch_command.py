"""The command that starts SGLang as CONCUR likes it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

SESSION_CACHE = "--enable-session-radix-cache"
RECOMMENDED = ("--enable-metrics", "--enable-cache-report", SESSION_CACHE)

_MODEL = ("--model-path", "--model")
_OTHER_CACHES = ("--disable-radix-cache", "--radix-cache-backend", "--enable-lmcache")  # these cannot keep sessions apart
_SECRET = ("--api-key", "--admin-api-key")
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - where to find it, not where to bind


class Start(NamedTuple):
    """`command` without its Python; `url` where the server will answer; `api_key` it will ask for, None: none."""

    arguments: list[str]
    url: str
    api_key: str | None
    added: tuple[str, ...]  # of RECOMMENDED

    @property
    def shown(self) -> str:
        """The arguments for a person, without secrets."""
        shown, hide = [], False
        for argument in self.arguments:
            name, equals, _ = argument.partition("=")
            shown.append("***" if hide else f"{name}=***" if equals and name in _SECRET else argument)
            hide = argument in _SECRET
        return " ".join(shown)


def given(extra: Sequence[str], *names: str) -> str | None:
    """The value of an option, by any of its names, as argparse would read it: the last counts. "" for a flag; None: not given."""
    value = None
    for argument, following in pairwise([*extra, "--"]):
        name, equals, rest = argument.partition("=")
        if name in names:
            value = rest if equals else "" if following.startswith("--") else following
    return value


def start(
    model: str, extra: Sequence[str], *, host: str, port: int, known: Collection[str] = RECOMMENDED, session_cache: bool = True
) -> Start:
    """`extra` are the user's own flags: where they say what we would, theirs stands alone.

    `known`: those of RECOMMENDED that this release has. The session cache is left out where it could not start.
    """
    arguments = ["-m", "sglang.launch_server"]
    for names, value in ((_MODEL, model), (("--host",), host), (("--port",), str(port))):
        if given(extra, *names) is None:
            arguments += [names[0], value]
    sessions = session_cache and all(given(extra, name) is None for name in _OTHER_CACHES)
    added = tuple(
        flag for flag in RECOMMENDED if flag in known and given(extra, flag) is None and (sessions or flag != SESSION_CACHE)
    )
    scheme = "https" if given(extra, "--ssl-certfile") else "http"
    where = given(extra, "--host") or host
    where = _ANY_ADDRESS.get(where, f"[{where}]" if ":" in where else where)
    return Start(
        arguments=[*arguments, *added, *extra],
        url=f"{scheme}://{where}:{given(extra, '--port') or port}",
        api_key=given(extra, "--api-key") or None,
        added=added,
    )
