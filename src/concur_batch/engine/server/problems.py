"""Refusals, in the flat form of SGLang's ErrorResponse (entrypoints/openai/protocol.py)."""

from __future__ import annotations

from typing import Any


class Problem(Exception):
    """The request is answered with an error status.

    Args:
        message: as SGLang words it.
        status: of the HTTP reply.
        kind: `type` in the body.
    """

    def __init__(self, message: str, status: int = 400, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"object": "error", "message": self.message, "type": self.kind, "param": None, "code": self.status}


class LateProblem(Problem):
    """What SGLang's scheduler refuses, and not its HTTP process: a stream has then begun, and the refusal is all there is in it."""

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return super().body() | {"type": "BAD_REQUEST"}


class Fault(Exception):
    """SGLang falls over this request: 500, and words that tell nothing."""


class NativeProblem(Problem):
    """The same, of the native endpoints (`/generate`, sessions): they nest a message alone (http_server.py:2257)."""

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"error": {"message": self.message}}
