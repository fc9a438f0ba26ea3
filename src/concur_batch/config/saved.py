"""The configuration in the run directory: written without secrets, read back for resume."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from concur_batch.config.keys import Given, Path, checked
from concur_batch.config.model import FREE, NO_KEY, Config
from concur_batch.config.resolve import build, command_line, covers, fallbacks, from_env, from_tables, layer, variable
from concur_batch.config.secrets import REDACTED, is_redacted, redact
from concur_batch.errors import InputError

API_KEY = ("engine", "api_key")


def to_json(config: Config) -> dict[str, Any]:
    """Every key with its value (nulls kept, secrets as `***`), and `sources`: where each given value came from."""
    sections = config.model_dump(exclude={"sources"})
    key: SecretStr = sections["engine"].pop("api_key")
    plain = redact(sections)
    plain["engine"]["api_key"] = key.get_secret_value() if key.get_secret_value() == NO_KEY else REDACTED
    return {**plain, "sources": dict(config.sources)}


def from_saved(
    saved: Mapping[str, Any],
    *,
    cli: Mapping[str, Any],
    sets: Sequence[str] = (),
    env: Mapping[str, str],
    place: str = "config.json",
) -> Config:
    """The configuration of a run that is taken up again: the command line over what `to_json` gave.

    The environment is asked only for the secrets that were not saved. One that is still missing is an InputError, except
    the API key, which then has its default. `place` names the saved file in messages.
    """
    sources = saved.get("sources", {})
    sections = {section: table for section, table in saved.items() if section != "sources"}
    kept: list[Given] = []
    secret: dict[tuple[str, ...], Given] = {}
    for raw in from_tables(sections, place):
        if raw.path == API_KEY or (len(raw.path) == 2 and is_redacted(raw.value) and raw.path[0] not in FREE):
            secret[raw.path] = raw  # cannot be used as it stands, and its type may not fit any more
            continue
        for given in checked(raw):
            (secret.setdefault(given.path, given) if is_redacted(given.value) else kept.append(given))
    given_now = command_line(cli, sets)
    from_variables = [given for one in (fallbacks(env), from_env(env)) for given in _of(secret, one)]
    config = build([kept, from_variables, given_now])
    again = {given.path for given in (*from_variables, *given_now)}
    missing = [path for path in secret if path != API_KEY and path not in again]
    if missing:
        told = ((".".join(path), " or ".join(_ways(path))) for path in missing)
        raise InputError(
            "\n".join(f"{place}: {dotted} was saved without its secret; give it again, {ways}." for dotted, ways in told)
        )
    untouched = {given.dotted for given in kept} - {given.dotted for given in (*from_variables, *given_now)}
    carried = {dotted: sources[dotted] for dotted in untouched if dotted in sources}
    fresh = {dotted: source for dotted, source in config.sources.items() if dotted not in untouched}
    return config.model_copy(update={"sources": {**carried, **fresh}})


def _of(secret: Collection[Path], givens: Iterable[Given]) -> list[Given]:
    """Of these values those for a secret, checked; no other is looked at."""
    asked = [given for given in givens if any(covers(given.path, path) for path in secret)]
    return [given for given in layer(asked) if given.path in secret]


def was_redacted(saved: Mapping[str, Any], path: Path) -> bool:
    """Whether the value at this path was saved without its secret, so that it has to be given again."""
    value: Any = saved
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return not isinstance(value, Mapping) and is_redacted(value)


def _ways(path: Path) -> Iterator[str]:
    """How the value at this path can be given again, to be copied into a shell; a variable is seen by fewer eyes."""
    if not any("." in part or "=" in part or part != part.strip() for part in path):
        yield f"with --set {shlex.quote('.'.join(path))}=..."
    known = variable(path)
    if known is not None:
        yield f"by {known}=..."
        return
    table: Any = "..."
    for part in reversed(path[2:]):
        table = {part: table}
    whole = variable(path[:2])
    if whole is not None and len(path) > 2:
        yield f"by {whole}={shlex.quote(json.dumps(table))}"
