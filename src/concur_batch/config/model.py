"""The sections of the configuration and what each key means. `docs/configuration.md` carries the same descriptions."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from concur_batch.task import MOST_ROLLOUTS
from concur_batch.task import Limits as TaskLimits

NO_KEY = "EMPTY"  # what local servers that want no key are given by convention
_MOST = 2**53  # what every JSON reader holds exactly


def shortened(value: Any) -> str:
    """What a person typed, as it is told back in a sentence."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as problem:
        raise ValueError(f"must be a regular expression, and {text!r} is none: {problem}") from None
    return text


def _allowance(value: Any) -> int | str | None:
    """A count or a share of failed rollouts; the text of a count becomes the count."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST):
        return value
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal() and len(text) <= len(str(_MOST)) and int(text) <= _MOST:
            return int(text)
        if re.fullmatch(r"\d+(\.\d+)?%", text) and float(text[:-1]) <= 100:
            return text
    raise ValueError(f"must be a count such as 3 or a share such as 5%, not {shortened(value)}")


def _engine_urls(urls: list[str]) -> list[str]:
    urls = [re.sub(r"^https?:", lambda scheme: scheme[0].lower(), url, flags=re.IGNORECASE) for url in urls]
    for url in urls:
        shown = re.sub(r"//[^/@]*@", "//***@", url)
        is_simulated = url == "sim" or (url.startswith("sim:") and len(url) > 4)
        if not is_simulated and not re.match(r"https?://[^/\s]+", url):
            hint = f"http://{shown}" if re.match(r"[\w.\-]+:\d+", url) else "http://127.0.0.1:30000"
            raise ValueError(f"must be URLs such as {hint}, or sim:PROFILE for a simulated one, not {shown!r}")
        if urls.count(url) > 1:
            raise ValueError(f"names {shown} more than once")
    return urls


def _api_key(key: SecretStr) -> SecretStr:
    return SecretStr(key.get_secret_value().strip() or NO_KEY)  # files that keys come from end in a newline


Pattern = Annotated[str, AfterValidator(_pattern)]
Allowance = Annotated[int | str | None, BeforeValidator(_allowance)]
EngineUrls = Annotated[list[str], Field(min_length=1), AfterValidator(_engine_urls)]
ApiKey = Annotated[SecretStr, AfterValidator(_api_key)]
Count = Annotated[int, Field(ge=1, le=_MOST)]
Rollouts = Annotated[int, Field(ge=1, le=MOST_ROLLOUTS)]
Mebibytes = Annotated[int, Field(ge=1, le=2**30)]  # as bytes still a limit that an operating system can be told
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """One table of the file. Immutable; unknown keys are refused; numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Run(Section):
    """The batch as a whole."""

    out: str | None = Field(None, description="Run directory. None: a new one under `runs/`.")
    max_agents: Count = Field(1024, description="At most so many live agents, under every controller.")
    n: Rollouts = Field(1, description="Rollouts per task, where the row does not say; at most 1,000,000.")
    seed: int = Field(
        0, ge=-_MOST, le=_MOST, description="Base seed of tasks that have none of their own; rollout k uses seed + k."
    )
    limit: Count | None = Field(None, description="Run only the first so many tasks.")
    filter: Pattern | None = Field(None, description="Run only tasks whose id contains a match of this regular expression.")
    shuffle: int | None = Field(None, description="Seed of a random task order. None: see `run.order`.")
    order: Literal["auto", "job"] = Field(
        "auto",
        description="`auto`: job order, but under the controller `forecast` tasks that are expected to go far start early enough to end with the others; `job`: job order.",
    )
    history: str | None = Field(
        None,
        description="Directory of an earlier run: where a task of the same id ended there is its `expected_tokens`, unless the row tells them.",
    )
    strict: bool = Field(default=False, description="Refuse unknown columns in job rows instead of keeping them as metadata.")
    fail_on_error: Allowance = Field(
        None,
        description="Exit code 1 when more rollouts than this end in status `error`: a count, or a share such as `5%`. None: 0.",
    )
    output_format: Literal["parquet", "jsonl", "openai"] = Field(
        "parquet",
        description="Form of `results.jsonl`, which is written beside `results.parquet`: `jsonl` the same rows, `openai` OpenAI batch lines; `parquet`: none.",
    )
    live: bool = Field(default=True, description="Live dashboard on a terminal; otherwise one plain line every 10 seconds.")
    max_attempts: Count = Field(3, description="Attempts per rollout, counting those of `--retry-failed`.")
    on_exit: str | None = Field(
        None,
        description="Shell command to run when the run has ended, however it did, with its summary as JSON on standard input.",
    )
    on_exit_timeout_s: Seconds = Field(60.0, description="Seconds for that command; then it is killed.")
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        None, description="Serve Prometheus metrics on this port while the run lasts. 0: any that is free. None: none."
    )
    metrics_host: Annotated[str, Field(min_length=1)] = Field(
        "127.0.0.1", description="Address to serve them on; `0.0.0.0` for all of this machine."
    )
    otel: bool = Field(
        default=False,
        description="Send OpenTelemetry spans to the collector that the `OTEL_*` variables name; needs the extra `otel`.",
    )

    def allows(self, failed: int, rollouts: int) -> bool:
        """Whether so many failed rollouts of all are within `fail_on_error`."""
        allowed = self.fail_on_error
        if isinstance(allowed, str):
            return failed * 100 <= float(allowed[:-1]) * rollouts
        return failed <= (allowed or 0)


class Engine(Section):
    """The model servers and how patient we are with them."""

    urls: EngineUrls = Field(
        default=["sim"],
        description="Base URLs of the engines; `sim` or `sim:PROFILE` (a name such as `qwen3-32b@h100x4`, or a file `x.toml`) is a simulated one in this process, which replays scripts.",
    )
    model: str | None = Field(None, description="Model name. None: what the engine serves.")
    api_key: ApiKey = Field(SecretStr(NO_KEY), description="Sent as bearer token. Never written into the run directory.")
    request_timeout_s: Seconds = Field(1800.0, description="Seconds for one model call.")
    wait_s: Annotated[float, Field(ge=0)] = Field(
        600.0,
        description="Seconds to wait for a lost engine before the run stops, resumable; with several, once the others have done their part.",
    )
    start_wait_s: Annotated[float, Field(ge=0)] = Field(
        5.0, description="Seconds to wait at the start for an engine that does not answer."
    )
    attempts: Count = Field(6, description="Attempts per model call, where trying again can help.")
    poll_s: Annotated[float, Field(ge=0.01)] = Field(1.0, description="Seconds between two readings of the engine's statistics.")
    sessions: bool = Field(
        default=True, description="Name agents to a server with a session cache, so that the KV of ended ones is evicted first."
    )
    priority: bool = Field(default=True, description="Older agents first, on a server with priority scheduling.")


class Agent(Section):
    """Who works on a task."""

    name: Annotated[str, Field(min_length=1)] = Field(
        "react", description="The built-in loop `react`, `replay` of a trace, or `module:callable`."
    )
    plan_first: bool = Field(default=False, description="Ask for a plan, without tools, before the first step.")
    system: str | None = Field(None, description="System message for tasks that bring none.")


class Limits(Section):
    """Bounds of one rollout, where the row does not say. None: unbounded."""

    max_steps: Count | None = Field(50, description="Model calls. `max_turns` is another name for it.")
    max_output_tokens: Count | None = Field(None, description="Generated tokens over all steps.")
    max_total_tokens: Count | None = Field(None, description="Prompt and generated tokens, summed over all model calls.")
    timeout_s: Seconds | None = Field(None, description="Seconds, without pauses and waits for a lost engine.")
    context_length: Count | None = Field(None, description="Tokens of one conversation. None: what the model can hold.")

    def for_task(self) -> TaskLimits:
        """The same bounds in the form that tasks carry."""
        return TaskLimits(**self.model_dump())


class Tools(Section):
    """Where tools come from and the bounds of one call."""

    sources: list[str] = Field(default=[], description="Tool files (`tools.py`) or modules, besides the built-in tools.")
    timeout_s: Seconds = Field(60.0, description="Seconds of wall time for one call.")
    threads: Count = Field(
        32, description="At most so many calls of tools that are plain functions run at a time, over all agents; the others wait."
    )
    max_output_chars: Count = Field(16_000, description="Characters of output shown to the model; head and tail are kept.")
    cpu_s: Count = Field(60, description="Seconds of CPU time for the processes of one `shell` or `python` call.")
    memory_mb: Mebibytes = Field(2048, description="Memory of those processes, in MiB.")
    output_mb: Mebibytes = Field(10, description="Most that they may print, in MiB.")
    processes: Count = Field(128, description="Most processes of one call at the same time.")
    sandbox: Literal["auto", "bubblewrap", "off"] = Field(
        "auto", description="`auto`: bubblewrap where it works; `bubblewrap`: refuse to run without; `off`."
    )
    readable: list[str] = Field(
        default=[], description="Further files and folders that those processes may read, inside bubblewrap."
    )
    network: bool = Field(default=False, description="Whether those processes may use the network, inside bubblewrap.")


class Controller(Section):
    """The policy by name; every other key is a parameter that the controller itself checks."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1)] = Field(
        "forecast",
        description="The policy: `forecast`, `aimd`, `fixed:N`, `requests:N`, `accounting`, `turnover` or `off`.",
    )

    @property
    def parameters(self) -> dict[str, Any]:
        """What was given besides the name."""
        return dict(self.model_extra or {})


def _whole(value: Any) -> Any:
    """1e3 is 1000, as in a row."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Tokens = Annotated[Count, BeforeValidator(_whole)]


class Sampling(Section):
    """What of `sampling` is checked, as in a job row; every other key goes to the engine as it is."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    seed: Annotated[int, Field(ge=-_MOST, le=_MOST), BeforeValidator(_whole)] | None = None


class Sim(Section):
    """Simulated engines: what differs from their profile, and how they are started. Names as SGLang's flags."""

    pool_tokens: Count | None = Field(None, description="KV pool in tokens. None: what SGLang would allot on the profile's GPUs.")
    context_length: Count | None = Field(None, description="Longest conversation in tokens. None: the profile's.")
    page_size: Count | None = Field(None, description="KV tokens per page. None: the profile's.")
    chunked_prefill_size: Count | None = Field(None, description="Tokens of one prefill batch. None: the profile's.")
    max_running_requests: Count | None = Field(None, description="None: what SGLang derives from the pool.")
    schedule_policy: Literal["fcfs", "lpm"] = Field("fcfs", description="Order of the waiting queue.")
    schedule_conservativeness: Seconds = Field(1.0, description="Factor of the reserve for tokens still to be generated.")
    priority_scheduling: bool = Field(default=False, description="Heed the priority of requests, and preempt for it.")
    session_cache: bool = Field(default=False, description="Evict the KV of ended agents first (`--enable-session-radix-cache`).")
    host_tier: Annotated[float, Field(ge=0, le=1000)] = Field(
        0.0, description="Host memory for KV (HiCache, write-through), as a multiple of the pool. 0: none."
    )
    host_gb_per_s: Annotated[float, Field(ge=0.001)] = Field(25.0, description="GB/s between host and each GPU.")
    server_version: Literal["0.5.23", "0.5.8"] = Field("0.5.23", description="The release of SGLang to behave as.")
    chars_per_token: Annotated[float, Field(ge=0.01)] = Field(
        4.0, description="Characters that make one token, for text without a count."
    )
    speed: Seconds = Field(1.0, description="Engine seconds per second; tools keep their own pace.")
    hint_sigma: Annotated[float, Field(ge=0, le=10)] | None = Field(
        None,
        description="`simulate`: every agent's `expected_tokens` are its true last context times exp(gauss(0, this)); 0: the truth. None: what the trace says.",
    )


class Replay(Section):
    """What the agent `replay` makes of a trace."""

    token_scale: Annotated[float, Field(ge=0.001, le=1000)] = Field(1.0, description="All recorded token counts times this.")
    time_scale: Annotated[float, Field(ge=0, le=1000)] = Field(1.0, description="All recorded tool times times this.")
    shared_tokens: Annotated[int, Field(ge=0, le=_MOST)] | None = Field(
        None, description="Tokens that all first prompts share, before scaling. None: what the trace says, else 4,096."
    )


class Config(Section):
    """Everything that can be set, resolved. `sources` tells for each key that was given (dotted) where its value came from."""

    run: Run = Run()
    engine: Engine = Engine()
    agent: Agent = Agent()
    limits: Limits = Limits()
    sampling: dict[str, Any] = Field(
        default={}, description="Merged into the body of every model call: `temperature`, `top_p`, ...; None: left out."
    )
    tools: Tools = Tools()
    controller: Controller = Controller()
    sim: Sim = Sim()
    replay: Replay = Replay()
    workload: dict[str, Any] = Field(
        default={}, description="Parameters of generated workloads, for `simulate`: `agents`, `output_median`, ..."
    )
    sources: dict[str, str] = {}


SECTIONS: dict[str, type[Section]] = {
    "run": Run,
    "engine": Engine,
    "agent": Agent,
    "limits": Limits,
    "tools": Tools,
    "controller": Controller,
    "sim": Sim,
    "replay": Replay,
}
FREE = frozenset({"sampling", "controller", "workload"})  # tables whose further keys are not known here
ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {("limits", "max_turns"): ("limits", "max_steps")}
RESERVED = {  # keys of the request body that sampling must not touch, and what to use instead
    "model": "set engine.model",
    "messages": "they come from the job file",
    "tools": "set tools.sources",
    "stream": "replies are read whole",
    "n": "set run.n, as each rollout is a request of its own",
}
