"""Lines of a run's logs. They quote servers, tools and agents, and are read on terminals."""

from __future__ import annotations

import logging

from concur_batch.results.visible import visible


class VisibleFormatter(logging.Formatter):
    """As its base, with control characters, other than line ends and tabs, as their escapes."""

    def format(self, record: logging.LogRecord) -> str:
        """All of the record, its traceback included."""
        return visible(super().format(record))
