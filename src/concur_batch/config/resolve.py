"""Layers of given values, the later over the earlier: fallback variables, file, environment, command line."""

from __future__ import annotations

import difflib
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from concur_batch.config import keys
from concur_batch.config.keys import KEYS, Given, checked
from concur_batch.config.model import ALIASES, FREE, SECTIONS, Config
from concur_batch.errors import InputError

PREFIX = "CONCUR_"
SHORT = {  # variables for what is set most
    "CONCUR_AGENT": ("agent", "name"),
    "CONCUR_API_KEY": ("engine", "api_key"),
    "CONCUR_CONTROLLER": ("controller", "name"),
    "CONCUR_ENGINE": ("engine", "urls"),
    "CONCUR_MAX_AGENTS": ("run", "max_agents"),
    "CONCUR_MODEL": ("engine", "model"),
    "CONCUR_OUT": ("run", "out"),
    "CONCUR_TOOLS": ("tools", "sources"),
}
FALLBACKS = {  # other programs' variables, below the file; the first that is set counts. OPENAI_BASE_URL is left out on purpose:
    "SGLANG_BASE_URL": ("engine", "urls"),  # it may stand for a paid service that nobody meant to send a batch to
    "SGLANG_API_KEY": ("engine", "api_key"),
    "OPENAI_API_KEY": ("engine", "api_key"),
}
NOT_KEYS = {
    "CONCUR_CONFIG",
    "CONCUR_SIM_API_KEY",
    "CONCUR_RUN_DIR",
    "CONCUR_EXIT_CODE",
}  # ours: of single commands, and told to --on-exit
OPTIONS = {
    "engine.urls": "--engine",
    "tools.sources": "--tools",
    "agent.name": "--agent",
    "controller.name": "--controller",
    "run.n": "--n/-n",
}
_CONTROLLER = ("controller", "name")
_SEED = ("run", "seed")
_FURTHER = ("sampling", "extra_body")
_SEEDS = (("sampling", "seed"), (*_FURTHER, "seed"))
_LONG = {f"{PREFIX}{section}_{key}".upper(): (section, key) for section, key in KEYS}


def resolve(cli: Mapping[str, Any], sets: Sequence[str], config_file: Path | None, env: Mapping[str, str]) -> Config:
    """The configuration in force. `cli`: dotted key to value, None or empty where not given; `sets`: `a.b=c` each.

    Without `config_file` the file that `CONCUR_CONFIG` names is read. Raises InputError naming source and mend.
    """
    if config_file is None and env.get("CONCUR_CONFIG"):
        config_file = Path(env["CONCUR_CONFIG"])
    file = from_file(config_file) if config_file is not None else []
    own = [layer(file), layer(from_env(env)), command_line(cli, sets)]
    named = {given.path for givens in own for given in givens}
    others = [given for given in fallbacks(env) if given.path not in named]
    return build(_seeded([layer(others), *own]))


def _seeded(layers: Iterable[Sequence[Given]]) -> list[list[Given]]:
    """A `seed` in `sampling` is the run's, as one in a row is its task's; as none it takes back what a layer before gave so.

    Raises InputError where one layer gives two.
    """
    found: list[list[Given]] = []
    taken: list[Given] = []  # from `sampling`
    further: list[Given] = []  # of these, from its `extra_body`
    for one in layers:
        told = [given for given in one if given.path in _SEEDS]
        if any(given.value is None for given in told):
            found = [[given for given in before if given not in taken] for before in found]
        elif any(given.path == _FURTHER for given in one):  # empty as a whole
            found = [[given for given in before if given not in further] for before in found]
        own = [given for given in one if given.path == _SEED]
        seeds = [given for given in told if given.value is not None]
        if len(own + seeds) > 1:
            places = " and ".join(f"{given.dotted} ({given.source})" for given in own + seeds)
            raise InputError(f"{places} are one and the same; give one of the two.")
        further += [replace(given, path=_SEED) for given in seeds if given.path != _SEEDS[0]]
        seeds = [replace(given, path=_SEED) for given in seeds]
        taken += seeds
        found.append([given for given in one if given not in told] + seeds)
    return found


def command_line(cli: Mapping[str, Any], sets: Sequence[str]) -> list[Given]:
    """Options and `--set` as one layer: a key may be given once."""
    return layer([*from_options(cli), *from_sets(sets)])


def build(layers: Iterable[Iterable[Given]]) -> Config:
    """Lay later layers over earlier ones. With another controller go the parameters that a layer gives beside its own."""
    merged: dict[keys.Path, Given] = {}
    beside: dict[keys.Path, str] = {}  # whose parameter it is
    for one in layers:
        givens = {given.path: given for given in one}
        name = _kind(givens.get(_CONTROLLER))
        for path in [path for path, owner in beside.items() if name not in (None, owner)]:
            del merged[path], beside[path]
        for path, given in givens.items():
            for other in [known for known in merged if covers(known, path)]:
                del merged[other]
                beside.pop(other, None)
            merged[path] = given
            if name is not None and path[0] == _CONTROLLER[0] and path != _CONTROLLER:
                beside[path] = name
    tree: dict[str, Any] = {}
    for path, given in merged.items():
        table = tree
        for part in path[:-1]:
            table = table.setdefault(part, {})
        table[path[-1]] = given.value
    try:
        return Config.model_validate({**tree, "sources": {given.dotted: given.source for given in merged.values()}})
    except ValidationError as problem:  # every value passed alone; only keys of free tables can still be unfit
        error = problem.errors(include_url=False)[0]
        raise InputError(f"{'.'.join(map(str, error['loc']))}: {error['msg']}.") from None


def _kind(controller: Given | None) -> str | None:
    """`fixed` of `fixed:8`."""
    return None if controller is None else str(controller.value).partition(":")[0]


def layer(givens: Iterable[Given]) -> list[Given]:
    """Checked values of one source; two for one key are refused."""
    seen: dict[keys.Path, Given] = {}
    names: dict[keys.Path, str] = {}  # as they were written
    for raw in givens:
        for given in map(keys.sampled, checked(raw)):
            twin = next((seen[path] for path in seen if covers(path, given.path)), None)
            if twin is not None:
                places = given.source if twin.source == given.source else f"{twin.source} and {given.source}"
                others = [name for name in (names[twin.path], raw.dotted) if tuple(name.split(".")) in ALIASES]
                also = f" (of which {others[0]} is another name)" if others else ""
                raise InputError(f"{given.dotted}{also} is given twice, by {places}; give it once.")
            seen[given.path], names[given.path] = given, raw.dotted
    return list(seen.values())


def fallbacks(env: Mapping[str, str]) -> Iterator[Given]:
    """What other programs' variables say."""
    found: dict[keys.Path, Given] = {}
    for name, path in FALLBACKS.items():
        if env.get(name) and path not in found:
            found[path] = Given(path, env[name], f"environment {name}", text=True)
    yield from found.values()


def from_env(env: Mapping[str, str]) -> Iterator[Given]:
    """Our own variables, in order of name; empty ones count as not set."""
    for name in sorted(env):
        if name.startswith(PREFIX) and env[name] and name not in NOT_KEYS:
            path = SHORT.get(name) or _LONG.get(name) or _free_variable(name)
            if path is not None:
                yield Given(path, env[name], f"environment {name}", text=True)


def variable(path: keys.Path) -> str | None:
    """The variable that gives this key; None: there is none, as for what is deeper in a free table."""
    for name, known in (*SHORT.items(), *_LONG.items()):
        if known == path:
            return name
    name = PREFIX + "_".join(path).upper()
    is_free = len(path) == 2 and path[0] in FREE and name.isidentifier()
    return name if is_free and _free_variable(name) == path else None


def _free_variable(name: str) -> keys.Path | None:
    """Keys of free tables; unknown names are refused where they can only be meant for us, else left alone."""
    section, _, key = name.removeprefix(PREFIX).lower().partition("_")
    if section in FREE and key:
        return (section, key)
    close = difflib.get_close_matches(
        name.removeprefix(PREFIX), [k.removeprefix(PREFIX) for k in (*SHORT, *_LONG)], n=1, cutoff=0.8
    )
    if close:
        raise InputError(f"environment {name}: unknown variable; did you mean {PREFIX}{close[0]}?")
    if section in SECTIONS and key:
        raise InputError(f"environment {name}: unknown key {section}.{key}{keys.nearest((section, key))}")
    return None


def from_options(cli: Mapping[str, Any]) -> Iterator[Given]:
    """What the command's own options brought."""
    for dotted, raw in cli.items():
        value = raw.value if isinstance(raw, Enum) else str(raw) if isinstance(raw, Path) else raw
        if value is None or value in ([], ()):
            continue
        option = OPTIONS.get(dotted) or "--" + dotted.split(".")[-1].replace("_", "-")
        value = [str(item) for item in value] if isinstance(value, list | tuple) else value
        yield Given(tuple(dotted.split(".")), value, f"option {option}", text=isinstance(value, str))


def from_sets(sets: Sequence[str]) -> Iterator[Given]:
    """`--set a.b=c`."""
    for item in sets:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {shlex.quote(item)}: must be key=value, such as --set run.max_agents=64.")
        yield Given(tuple(key.strip().split(".")), value.strip(), f"--set {key.strip()}", text=True)


def from_file(path: Path) -> list[Given]:
    """The keys of a TOML file."""
    try:
        document = keys.parsed(path.read_text(encoding="utf-8-sig"))  # some editors put a mark at the start
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file.") from None
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem.strerror or problem}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text, so it is no TOML file.") from None
    except tomllib.TOMLDecodeError as problem:
        raise InputError(f"{path}: is not valid TOML: {problem}.") from None
    except (ValueError, RecursionError) as problem:
        raise InputError(f"{path}: {keys.too_much(problem)}.") from None
    return list(from_tables(document, f"file {path}"))


def from_tables(document: Mapping[str, Any], source: str) -> Iterator[Given]:
    """The keys of nested tables, each under its section."""
    for section, table in document.items():
        if isinstance(table, dict):
            yield from (Given((section, key), value, source) for key, value in table.items())
        elif section in SECTIONS or section in FREE:
            raise InputError(f"{source}: {section} must be a table, [{section}].")
        else:
            yield Given((section,), table, source)


def covers(one: keys.Path, other: keys.Path) -> bool:
    """Whether one of the two is the other or a table that holds it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
