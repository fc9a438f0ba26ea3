"""One colour for one thing, everywhere on the screen; the terminal's own sixteen, so that its theme is respected.

Green is work for agents, at the engine too, blue their tools, yellow who is held back, magenta the engine's queue, cyan what the cache holds and gives,
red what is lost: history prefilled again, attempts that failed, errors. What is dim is not there yet, or a label.
"""

from __future__ import annotations

from typing import Final

ACTIVE: Final = "green"
TOOL: Final = "bright_blue"
HELD: Final = "yellow"
QUEUE: Final = "magenta"
CACHE: Final = "cyan"
LOST: Final = "red"
PLAIN: Final = ""
