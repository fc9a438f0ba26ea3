"""Three tools of one's own: a plain function, an async one, and one that may not be called too often."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from concur_batch.toolbox import ToolContext, ToolError, tool

RATES = {"EUR": 1.0, "CHF": 0.95, "USD": 1.10, "JPY": 160.0}  # per euro
PRICES = {"lamp": 39.90, "chair": 120.00, "desk": 349.50, "shelf": 89.00}  # euros


@dataclass
class Line:
    """One line of an order."""

    item: str
    count: Annotated[int, Field(ge=1, le=100)]


@tool
def add_up(lines: list[Line], context: ToolContext) -> dict[str, float]:
    """Add up an order and note it in the file order.txt.

    Args:
        lines: The items ordered, with how many of each.
    """
    unknown = [line.item for line in lines if line.item not in PRICES]
    if unknown:
        raise ToolError(f"not sold here: {', '.join(unknown)}; there are {', '.join(PRICES)}")
    total = round(sum(PRICES[line.item] * line.count for line in lines), 2)
    (context.workspace / "order.txt").write_text("".join(f"{line.count} x {line.item}\n" for line in lines))
    return {"items": sum(line.count for line in lines), "euros": total}


@tool(repeatable=True, timeout_s=5)
async def stock(item: str) -> int:
    """Ask the warehouse how many of an item are left.

    Args:
        item: Name of the item.
    """
    await asyncio.sleep(0.02)  # a real tool would ask a server here
    if item not in PRICES:
        raise ToolError(f"the warehouse knows no {item}")
    return len(item) * 7


@tool(repeatable=True, rate="20/s")
async def convert(euros: float, currency: Literal["EUR", "CHF", "USD", "JPY"] = "CHF") -> str:
    """Convert euros into another currency. The service behind it allows 20 calls a second, over all agents.

    Args:
        euros: The amount in euros.
        currency: The currency wanted.
    """
    return f"{euros * RATES[currency]:.2f} {currency}"
