"""Everything that can go wrong, as one tree: whose fault it is, and whether trying again can help.

`error_class` is the word written into results and journal: one of `ERROR_CLASSES`.
"""

from __future__ import annotations

from typing import ClassVar

ERROR_CLASSES = ("input", "context_length", "engine", "engine_down", "tool", "sandbox", "agent", "internal")


class ConcurError(Exception):
    """Base of all. Its text is one sentence for a person: what is wrong, where, and the mend."""

    error_class: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 4
    retryable: ClassVar[bool] = False


class InputError(ConcurError):
    """The user's files, options or configuration (exit 2)."""

    error_class = "input"
    exit_code = 2


class RunDirectoryError(InputError):
    """The run directory cannot be used: another job's, locked by a living process, read-only, broken journal."""


class EngineError(ConcurError):
    """The engine answered wrongly or not at all. `retryable`: the same request may pass later.

    `retries`, `retry_s`, `wait_s`: what a call took until it was given up, as in its `call_failed`.
    """

    error_class = "engine"
    exit_code = 3
    retries: int = 0
    retry_s: float = 0.0
    wait_s: float = 0.0


class EngineDown(EngineError):
    """No connection, or it broke before a whole reply came. The agent waits until the engine is ready again."""

    error_class = "engine_down"
    retryable = True


class EngineSilent(EngineDown):
    """Asked what it is, it did not answer in time: it hangs, or nothing of it can be seen at all."""


class EngineBusy(EngineError):
    """429, 503 and the like, or a reply that was aborted by the server: try again, after `retry_after` seconds if given."""

    retryable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EngineFailed(EngineError):
    """5xx, a time-out, or a reply that cannot be read (HTML, cut off): may pass when tried again."""

    retryable = True


class EngineRefused(EngineError):
    """4xx: the same request will always be refused (unknown model, bad parameter, no authorisation)."""


class ContextLengthExceeded(EngineError):
    """The conversation no longer fits the model's context. A limit, not an error: status `context_length`."""

    error_class = "context_length"


class ToolError(ConcurError):
    """A tool could not be called as asked; its text is what the model is told."""

    error_class = "tool"


class SandboxError(ToolError):
    """A tool's subprocess could not be confined or started, or left its bounds."""

    error_class = "sandbox"


class AgentError(ConcurError):
    """The agent's own code raised, or did not repeat itself when replayed."""

    error_class = "agent"


def named(name: str, message: str) -> EngineError:
    """The engine's error of that class name, as a journal tells it; the base of them where the name is not known."""
    kinds = (EngineDown, EngineBusy, EngineFailed, EngineRefused, ContextLengthExceeded)
    return next((kind for kind in kinds if kind.__name__ == name), EngineError)(message)


def unnamed(message: str, engine: str) -> str:
    """What an engine's error says, for a place where that engine is named anyway."""
    for ending in (" ", ": "):
        message = message.removeprefix(engine + ending)
    return message


class LimitReached(BaseException):
    """Ends the rollout with `status`. Not an Exception, so that an agent's own `except Exception` cannot swallow it."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status
