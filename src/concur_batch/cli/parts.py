"""Choose the parts that a configuration names: engines, tools, agents, policies."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from concur_batch.agent.recorded import REPLAY
from concur_batch.cli import hints
from concur_batch.cli.agents import Agents
from concur_batch.config import Config, server_key
from concur_batch.config.keys import parsed
from concur_batch.config.model import Sim
from concur_batch.config.places import placing
from concur_batch.control.policies import make_policy
from concur_batch.engine.address import parse_address
from concur_batch.engine.base import Engine
from concur_batch.engine.sim import SimEngine
from concur_batch.errors import InputError
from concur_batch.jobs.load import LoadOptions
from concur_batch.plan import Defaults
from concur_batch.sim.call import Call
from concur_batch.sim.core import EngineCore
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.profile import Profile, find_profile, least_pool, profile_from_table, with_pool
from concur_batch.sim.tokens import Tokenizer
from concur_batch.toolbox.base import FINISH_SPEC, Toolbox
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.sandbox import check_readable, in_full

SIM = "sim"
DEFAULT_PROFILE = "qwen3-8b@h100x1"


def with_absolute_paths(config: Config) -> Config:
    """The same configuration wherever it is taken up again: all files and folders that it names by their full paths."""
    sources, readable = map(_absolute, config.tools.sources), map(in_full, config.tools.readable)
    tools = config.tools.model_copy(update={"sources": list(sources), "readable": list(readable)})
    urls = [_absolute_profile(url) for url in config.engine.urls]
    place, colon, name = config.agent.name.rpartition(":")
    agent = config.agent.model_copy(update={"name": f"{_absolute(place)}{colon}{name}"})
    engine = config.engine.model_copy(update={"urls": urls})
    history = None if config.run.history is None else os.path.realpath(config.run.history)
    run = config.run.model_copy(update={"history": history})
    return config.model_copy(update={"tools": tools, "agent": agent, "engine": engine, "run": run})


def _absolute_profile(url: str) -> str:
    name = _profile_name(url) if is_simulated(url) else ""
    return f"{SIM}:{os.path.realpath(name)}{url[4 + len(name) :]}" if name.endswith(".toml") else url


def _absolute(source: str) -> str:
    return os.path.realpath(source) if source.endswith(".py") else source


def for_agent(config: Config) -> Config:
    """The configuration as this run's agent takes it: a trace has as many steps as it has. Raises InputError."""
    with placing(config, "agent.name"):
        _check_agent(config)
    if config.agent.name != REPLAY or "limits.max_steps" in config.sources:
        return config
    return config.model_copy(update={"limits": config.limits.model_copy(update={"max_steps": None})})


def _check_agent(config: Config) -> None:
    """Raises InputError for what does not go with it."""
    if config.sim.hint_sigma is not None:
        raise InputError(
            "sim.hint_sigma: is for `concur simulate`, which knows the truth; give --history, or expected_tokens in rows"
        )
    if config.agent.name != REPLAY:
        given = next((key for key in config.sources if key.startswith("replay.")), None)
        if given is not None:
            raise InputError(f"{given}: is for the agent {REPLAY!r}; give --agent {REPLAY} as well, or leave it out")
    elif any(is_simulated(url) for url in config.engine.urls):
        raise InputError(
            f"--agent {REPLAY} puts load on a server: name it by --engine URL; without a server, use `concur simulate TRACE`"
        )


def check_choices(config: Config) -> None:
    """Raises InputError for a controller, agent, engine, key or readable path that cannot be, before anything is made."""
    with placing(config, "controller.name"):
        make_policy(config.controller.name, config.controller.parameters, config.run.max_agents)
    check_default_agent(config)
    with placing(config, "tools.readable"):
        check_readable(config.tools.readable)
    with placing(config, "engine.urls"):
        _check_engines(config)
    if not all(map(is_simulated, config.engine.urls)):
        server_key(config)


def check_default_agent(config: Config) -> None:
    """Raises InputError for one that cannot be: told once, and not as a fault of every row that names no other."""
    with placing(config, "agent.name"):
        try:
            Agents(config).find(config.agent.name)
        except InputError as error:
            raise InputError(f"--{error}") from error


def _check_engines(config: Config) -> None:
    servers: dict[str, str] = {}
    for url in config.engine.urls:
        if is_simulated(url):
            server_options(profile_of(url), config.sim)
            continue
        same = servers.setdefault(parse_address(url).api, url)
        if same is not url:
            raise InputError(f"--engine {without_secrets(url)}: is {without_secrets(same)} once more; give each server once")


def is_simulated(url: str) -> bool:
    """Whether this names a simulated engine in this process."""
    return url == SIM or url.startswith(f"{SIM}:")


def engines(config: Config) -> list[Engine]:
    """One per URL, not yet probed."""
    return [simulated(url, config) if is_simulated(url) else _server(url, config) for url in config.engine.urls]


def simulated(url: str, config: Config, *, on_end: Callable[[Call], None] | None = None) -> SimEngine:
    """`sim` or `sim:PROFILE`. Raises InputError for a profile that does not exist, does not fit, or cannot be read.

    `on_end` is told of every model call that has ended, with what only a simulation knows of it.
    """
    profile = profile_of(url)
    core = EngineCore(server_options(profile, config.sim), profile.cost)
    return SimEngine(
        core, url, model=profile.model, speed=config.sim.speed, tokenizer=Tokenizer(config.sim.chars_per_token), on_end=on_end
    )


def simulated_urls(profile: str, engines: int) -> list[str]:
    """So many equal ones: `sim:PROFILE`, or `sim:PROFILE#1`, `sim:PROFILE#2`, ..."""
    return [f"{SIM}:{profile}#{i + 1}" for i in range(engines)] if engines > 1 else [f"{SIM}:{profile}"]


def profile_of(url: str) -> Profile:
    """The profile behind `sim`, `sim:PROFILE` or `sim:PROFILE#N`."""
    return find_profile_or_file(_profile_name(url) or DEFAULT_PROFILE)


def _profile_name(url: str) -> str:
    """Without the number that tells equal engines apart."""
    return re.sub(r"#\d+$", "", url.partition(":")[2])


def find_profile_or_file(name: str) -> Profile:
    """By its name, or from the file of that name where it ends in .toml."""
    if not name.endswith(".toml"):
        return find_profile(name)
    try:
        table = parsed(Path(name).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such profile file; make one by `concur engine fit URL -o {name}`") from None
    except OSError as error:
        raise InputError(
            f"{name}: cannot be read ({error.strerror or error}); give a profile file, as `concur engine fit` writes it"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{name}: is not UTF-8 text; give a profile file, as `concur engine fit` writes it") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: is not TOML: {error}") from None
    except (ValueError, RecursionError):
        raise InputError(
            f"{name}: holds a number too long, or a list too deep, to be read; give a profile file, as `concur engine fit` writes it"
        ) from None
    return profile_from_table(table, name)


def server_options(profile: Profile, sim: Sim) -> ServerOptions:
    """How the simulated server is started: the profile, and over it what the configuration says. Raises InputError."""
    if sim.pool_tokens is not None:
        profile = with_pool(profile, sim.pool_tokens)
    own = ("context_length", "page_size", "chunked_prefill_size", "max_running_requests")
    profile = replace(profile, **{key: value for key in own if (value := getattr(sim, key)) is not None})
    if profile.chunked_prefill_size % profile.page_size:
        if sim.chunked_prefill_size is None:
            raise InputError(
                f"sim.page_size {profile.page_size}: the profile's chunked_prefill_size of {profile.chunked_prefill_size} is no "
                "multiple of it; give sim.chunked_prefill_size as well"
            )
        raise InputError(
            f"sim.chunked_prefill_size {profile.chunked_prefill_size}: must be a multiple of the page of {profile.page_size} tokens"
        )
    if profile.pool_tokens < (least := least_pool(profile.page_size)):
        raise InputError(f"sim.pool_tokens {profile.pool_tokens}: is too small to serve anything; give at least {least}")
    return ServerOptions(
        capacity_tokens=profile.pool_tokens,
        context_length=profile.context_length,
        page_size=profile.page_size,
        chunked_prefill_size=profile.chunked_prefill_size,
        max_prefill_tokens=profile.max_prefill_tokens,
        max_running_requests=profile.max_running_requests,
        schedule_policy=sim.schedule_policy,
        schedule_conservativeness=sim.schedule_conservativeness,
        priority_scheduling=sim.priority_scheduling,
        session_cache=sim.session_cache,
        host_ratio=sim.host_tier,
        host_gb_per_s=sim.host_gb_per_s,
        kv_bytes_per_token=profile.kv_bytes_per_token,
        gpus=profile.gpus,
        version=sim.server_version,
    )


def _server(url: str, config: Config) -> Engine:
    from concur_batch.engine.openai import OpenAIEngine  # noqa: PLC0415 - the SDK takes half a second to import

    return OpenAIEngine(
        url,
        api_key=server_key(config),
        name=without_secrets(url),
        request_timeout_s=config.engine.request_timeout_s,
    )


def without_secrets(url: str) -> str:
    """The URL as it may be shown: no user, no password, no query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def load_options(config: Config, toolbox: Toolbox, *, require_script: bool | None = None) -> LoadOptions:
    """What rows are checked against. `require_script` None: where the embedded engine is named, as any task may come to it."""
    replays = any(is_simulated(url) for url in config.engine.urls)
    return LoadOptions(
        known_tools=frozenset(spec.name for spec in (*toolbox.specs, FINISH_SPEC)),
        agent_schema=Agents(config).schema,
        require_script=replays if require_script is None else require_script,
        sim_named="engine.urls" in config.sources,
        strict=config.run.strict,
        n=config.run.n,
        limit=config.run.limit,
        filter=config.run.filter,
        shuffle=config.run.shuffle,
        hints=hints.from_config(config),
        long_in_time=hints.are_ordering(config),
    )


def tool_limits(config: Config) -> ToolLimits:
    """Bounds of tool calls. A command gets as long as the call that runs it."""
    tools = config.tools
    return ToolLimits(
        timeout_s=tools.timeout_s,
        wall_s=tools.timeout_s,
        max_output_chars=tools.max_output_chars,
        threads=tools.threads,
        cpu_s=tools.cpu_s,
        memory_mib=tools.memory_mb,
        output_mib=tools.output_mb,
        processes=tools.processes,
        network=tools.network,
        readable=tuple(tools.readable),
        sandbox=tools.sandbox,
    )


def defaults(config: Config) -> Defaults:
    """What a task that does not say otherwise is run with."""
    sampling = dict(config.sampling)
    sampling.update(sampling.pop("extra_body", None) or {})
    sampling = {key: value for key, value in sampling.items() if value is not None}  # as with a row's nulls
    return Defaults(
        agent=config.agent.name,
        model=config.engine.model or "",
        n=config.run.n,
        seed=config.run.seed,
        system=config.agent.system,
        plan_first=config.agent.plan_first,
        sampling=sampling,
        limits=config.limits.for_task(),
    )
