"""Configuration: command line over environment over TOML file over defaults. Importing this imports pydantic."""

from concur_batch.config.model import Config
from concur_batch.config.resolve import resolve
from concur_batch.config.saved import from_saved, to_json
from concur_batch.config.server_key import server_key

__all__ = ["Config", "from_saved", "resolve", "server_key", "to_json"]
