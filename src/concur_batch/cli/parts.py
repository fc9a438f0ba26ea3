"""Choose the parts that a configuration names: engines, tools, agents, policies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel

from concur_batch.agent.base import schema_of
from concur_batch.agent.registry import find_agent
from concur_batch.config import Config
from concur_batch.control.policies import make_policy
from concur_batch.engine.base import Engine
from concur_batch.engine.sim import SimEngine
from concur_batch.jobs.load import LoadOptions
from concur_batch.plan import FINISH_SPEC, Defaults
from concur_batch.toolbox.base import Toolbox
from concur_batch.toolbox.limits import ToolLimits

SIM = "sim"


def with_absolute_paths(config: Config) -> Config:
    """The same configuration wherever it is taken up again: files of tools and agents by their full paths."""
    tools = config.tools.model_copy(update={"sources": [_absolute(source) for source in config.tools.sources]})
    place, colon, name = config.agent.name.rpartition(":")
    agent = config.agent.model_copy(update={"name": f"{_absolute(place)}{colon}{name}"})
    return config.model_copy(update={"tools": tools, "agent": agent})


def _absolute(source: str) -> str:
    return str(Path(source).resolve()) if source.endswith(".py") else source


def check_choices(config: Config) -> None:
    """Raises InputError for a controller or agent that does not exist, before anything is made."""
    make_policy(config.controller.name, config.controller.parameters, config.run.max_agents)
    find_agent(config.agent.name)


def engines(config: Config) -> list[Engine]:
    """One per URL, not yet probed."""
    return [SimEngine() if url == SIM else _server(url, config) for url in config.engine.urls]


def _server(url: str, config: Config) -> Engine:
    from concur_batch.engine.openai import OpenAIEngine  # noqa: PLC0415 - the SDK takes half a second to import

    return OpenAIEngine(
        url,
        api_key=config.engine.api_key.get_secret_value(),
        name=without_secrets(url),
        request_timeout_s=config.engine.request_timeout_s,
    )


def without_secrets(url: str) -> str:
    """The URL as it may be shown: no user, no password, no query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def load_options(config: Config, toolbox: Toolbox, *, require_script: bool | None = None) -> LoadOptions:
    """What rows are checked against. `require_script` None: where only the embedded engine is named."""
    only_sim = all(url == SIM for url in config.engine.urls)
    return LoadOptions(
        known_tools=frozenset(spec.name for spec in (*toolbox.specs, FINISH_SPEC)),
        agent_schema=_agent_schema(config),
        require_script=only_sim if require_script is None else require_script,
        strict=config.run.strict,
        n=config.run.n,
        limit=config.run.limit,
        filter=config.run.filter,
        shuffle=config.run.shuffle,
    )


def tool_limits(config: Config) -> ToolLimits:
    """Bounds of tool calls. A command gets as long as the call that runs it."""
    tools = config.tools
    return ToolLimits(
        timeout_s=tools.timeout_s,
        wall_s=tools.timeout_s,
        max_output_chars=tools.max_output_chars,
        cpu_s=tools.cpu_s,
        memory_mib=tools.memory_mb,
        output_mib=tools.output_mb,
        processes=tools.processes,
        network=tools.network,
        readable=tuple(tools.readable),
        sandbox=tools.sandbox,
    )


def _agent_schema(config: Config) -> Callable[[str | None], type[BaseModel] | None]:
    return lambda name: schema_of(find_agent(name or config.agent.name))


def defaults(config: Config) -> Defaults:
    """What a task that does not say otherwise is run with."""
    sampling = dict(config.sampling)
    sampling.update(sampling.pop("extra_body", None) or {})
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
