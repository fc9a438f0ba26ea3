"""Profiles: all that the simulator must know of one engine. By name, or from a profile file's table."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from concur_batch.errors import InputError
from concur_batch.sim.cost import Cost, FittedCost, RooflineCost
from concur_batch.sim.gpus import GPUS, SPLITS
from concur_batch.sim.models import MODELS
from concur_batch.sim.pool import CHUNKED_PREFILL_SIZE, fits, fitting_splits, max_running_requests, pool_tokens

CONTEXT_LENGTH = 131_072  # in simulation; Qwen3's native 40,960 is stretched by YaRN to as much, as its card describes
MAX_PREFILL_TOKENS = 16_384  # SGLang's default

_NAME = re.compile(r"(?P<model>[^@]+)@(?P<gpu>[^@]+?)(x(?P<tp>\d+))?")
_TEXTS = ("base", "name", "model", "gpu")
_COUNTS = (
    "tp",
    "gpus",
    "pool_tokens",
    "kv_bytes_per_token",
    "context_length",
    "chunked_prefill_size",
    "max_prefill_tokens",
    "max_running_requests",
    "page_size",
)
_OF_BASE = ("model", "gpu", "tp")
_NEEDED = ("model", "pool_tokens", "kv_bytes_per_token", "cost")  # where no base gives them
_COEFFICIENTS = tuple(f.name for f in fields(FittedCost))
_MOST = 2**53  # of any count: what every JSON reader holds exactly
_MOST_S = 3600  # of a coefficient: one that is larger is no time of any engine, and its runs would not end


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One engine. Lengths and sizes are in tokens."""

    name: str
    model: str
    gpu: str | None  # None: not known, as of a fitted engine
    tp: int
    gpus: int  # how many GPUs share the host tier's bandwidth
    cost: Cost
    pool_tokens: int
    kv_bytes_per_token: int  # the whole model's, each part counted once
    context_length: int = CONTEXT_LENGTH
    chunked_prefill_size: int = CHUNKED_PREFILL_SIZE
    max_prefill_tokens: int = MAX_PREFILL_TOKENS
    max_running_requests: int
    page_size: int = 1


def with_pool(profile: Profile, tokens: int) -> Profile:
    """The same engine with a pool of so many tokens, and as many running requests as SGLang allows by default with it."""
    return replace(profile, pool_tokens=tokens, max_running_requests=max_running_requests(tokens, profile.context_length))


def least_pool(page_size: int) -> int:
    """Tokens of the smallest pool that serves anything."""
    return 16 * page_size


def profile_names() -> list[str]:
    """All combinations that fit."""
    return [f"{model}@{gpu}x{tp}" for model in MODELS for gpu in GPUS for tp in fitting_splits(MODELS[model], GPUS[gpu])]


def find_profile(name: str) -> Profile:
    """`MODEL@GPUxTP`, in any case; without `xTP` one GPU. Raises InputError: unknown (with the nearest names), or does not fit
    (with how many GPUs would do).
    """
    found = _NAME.fullmatch(name.strip().lower())
    if found is None or found["model"] not in MODELS or found["gpu"] not in GPUS:
        raise _unknown(name)
    model, gpu, tp = MODELS[found["model"]], GPUS[found["gpu"]], int(found["tp"] or 1)
    fitting = fitting_splits(model, gpu)
    if tp not in SPLITS or not model.can_split(tp):
        raise InputError(f"{model.name} cannot be split over {tp} GPUs; on {gpu.name} it can be over {_or(map(str, fitting))}")
    if not fits(model, gpu, tp):
        least = fitting[0]
        raise InputError(
            f"{model.name} does not fit on {tp} x {gpu.name}; it needs at least {least}: {model.name}@{gpu.name}x{least}"
        )
    pool = pool_tokens(model, gpu, tp)
    return Profile(
        name=f"{model.name}@{gpu.name}x{tp}",
        model=model.name,
        gpu=gpu.name,
        tp=tp,
        gpus=tp,
        cost=RooflineCost(model, gpu, tp),
        pool_tokens=pool,
        kv_bytes_per_token=model.kv_bytes_per_token,
        max_running_requests=max_running_requests(pool, CONTEXT_LENGTH),
    )


def profile_from_table(table: Mapping[str, Any], source: str) -> Profile:
    """A profile file's content, parsed. With `base = "MODEL@GPUxTP"` only what differs needs to be given. Raises InputError
    that names `source` and the key.
    """
    for key in table:
        if key not in (*_TEXTS, *_COUNTS, "cost"):
            near = difflib.get_close_matches(key, (*_TEXTS, *_COUNTS, "cost"), 1)
            raise InputError(f"{source}: unknown key {key!r}" + (f" (is {near[0]!r} meant?)" if near else ""))
    values = {key: _text(table, key, source) for key in _TEXTS if key in table}
    given: dict[str, Any] = values | {key: _count(table, key, source) for key in _COUNTS if key in table}
    if "cost" in table:
        given["cost"] = _cost(table["cost"], source)
    base = given.pop("base", None)
    profile = _new(given, source) if base is None else _changed(base, given, source)
    if profile.chunked_prefill_size % profile.page_size:
        raise InputError(
            f"{source}: 'chunked_prefill_size' {profile.chunked_prefill_size} must be a multiple of 'page_size' {profile.page_size}"
        )
    if profile.pool_tokens < (least := least_pool(profile.page_size)):
        raise InputError(f"{source}: 'pool_tokens' {profile.pool_tokens} is too small to serve anything; give at least {least}")
    return profile


def profile_to_toml(profile: Profile) -> str:
    """A profile file that `profile_from_table` reads back to the same profile."""
    cost = profile.cost
    keys = ("name", *_COUNTS[1:]) if isinstance(cost, RooflineCost) else ("name", *_OF_BASE, *_COUNTS[1:])
    values = {key: value for key in keys if (value := getattr(profile, key)) is not None}
    if isinstance(cost, RooflineCost):
        values = {"base": f"{cost.model.name}@{cost.gpu.name}x{cost.tp}"} | values
    lines = [f"{key} = {_quoted(value) if isinstance(value, str) else value}" for key, value in values.items()]
    if isinstance(cost, FittedCost):
        lines += ["", "[cost]  # seconds", *(f"{key} = {value!r}" for key, value in asdict(cost).items())]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string: for what is printable, JSON's escapes serve."""
    return json.dumps(text, ensure_ascii=False)


def _unknown(name: str) -> InputError:
    near = difflib.get_close_matches(name.strip().lower(), profile_names(), 3, cutoff=0.5)
    mend = f"nearest: {', '.join(near)}" if near else f"give MODEL@GPUxTP with {_or(MODELS)} and {_or(GPUS)}"
    return InputError(f"there is no profile {name!r}; {mend}")


def _or(names: Any) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else str(last)


def _new(given: dict[str, Any], source: str) -> Profile:
    for key in _NEEDED:
        if key not in given:
            what = "table [cost]" if key == "cost" else f"key {key!r}"
            raise InputError(f'{source}: {what} is missing; give it, or base = "MODEL@GPUxTP"')
    tp = given.get("tp", 1)
    running = max_running_requests(given["pool_tokens"], given.get("context_length", CONTEXT_LENGTH))
    defaults = {"name": given["model"], "gpu": None, "tp": tp, "gpus": tp, "max_running_requests": running}
    return Profile(**defaults | given)


def _changed(base: str, given: dict[str, Any], source: str) -> Profile:
    for key in _OF_BASE:
        if key in given:
            raise InputError(f"{source}: {key!r} comes from base = {base!r}; leave one of the two out")
    try:
        profile = replace(find_profile(base), **given)
    except InputError as error:
        raise InputError(f"{source}: base: {error}") from None
    if "max_running_requests" in given:
        return profile
    return with_pool(profile, profile.pool_tokens)


def _text(table: Mapping[str, Any], key: str, source: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{source}: {key!r} must be a name in quotes, not {value!r}")
    if not value.isprintable():  # it is shown on terminals
        raise InputError(f"{source}: {key!r} must be printable characters, not {value!r}")
    return value


def _count(table: Mapping[str, Any], key: str, source: str) -> int:
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{source}: {key!r} must be a whole number of at least 1, not {value!r}")
    if value > _MOST:
        raise InputError(f"{source}: {key!r} must be at most {_MOST:,}, not a number of {len(str(value))} digits")
    return value


def _cost(table: Any, source: str) -> FittedCost:
    if not isinstance(table, Mapping):
        raise InputError(f"{source}: 'cost' must be a table [cost] of coefficients in seconds, not {table!r}")
    for key, value in table.items():
        if key not in _COEFFICIENTS:
            near = difflib.get_close_matches(key, _COEFFICIENTS, 1, cutoff=0.0)
            raise InputError(f"{source}: unknown key 'cost.{key}' (is {near[0]!r} meant?)")
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= _MOST_S:
            raise InputError(f"{source}: 'cost.{key}' must be seconds, 0 to {_MOST_S}, not {value!r}")
    cost = FittedCost(**{key: float(value) for key, value in table.items()})
    if cost.prefill_s([(1, 0)]) <= 0 or sum(cost.decode_line(1)) <= 0:
        raise InputError(
            f"{source}: [cost] gives iterations that take no time; prefill and decode need a coefficient above 0 each"
        )
    return cost
