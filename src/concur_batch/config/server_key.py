"""The key that servers are sent, looked at only where there is one to be sent it."""

from __future__ import annotations

from concur_batch.config.model import Config
from concur_batch.errors import InputError


def server_key(config: Config) -> str:
    """Raises InputError, which does not tell it, for one that no HTTP header can hold."""
    key = config.engine.api_key.get_secret_value()
    if not (key.isascii() and key.isprintable()):
        raise InputError(
            f"{config.sources['engine.api_key']}: engine.api_key must be of printable ASCII characters alone, as an HTTP header can hold; "
            "see what was copied along with it."
        )
    return key
