"""Writes jobs.jsonl: 20 tasks with scripts. Run it as `python jobs/custom_tools/make.py`."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tools import PRICES, RATES

SEED = 7


def turn(content: str, *calls: tuple[str, dict[str, Any] | str]) -> dict[str, Any]:
    return {"content": content, "tool_calls": [{"name": name, "arguments": arguments} for name, arguments in calls]}


def task(k: int, rng: random.Random) -> dict[str, Any]:
    lines = [{"item": item, "count": rng.randrange(1, 9)} for item in rng.sample(sorted(PRICES), rng.randrange(1, 4))]
    euros = round(sum(PRICES[str(line["item"])] * int(str(line["count"])) for line in lines), 2)
    currency = rng.choice(sorted(RATES))
    answer = f"{euros * RATES[currency]:.2f} {currency}"
    order = ", ".join(f"{line['count']} x {line['item']}" for line in lines)
    script: list[dict[str, Any] | str] = [
        turn("Is enough there?", *(("stock", {"item": line["item"]}) for line in lines)),
        turn("Yes. What does it cost?", ("add_up", {"lines": lines})),
        turn("And in the currency wanted?", ("convert", {"euros": euros, "currency": currency})),
        answer,
    ]
    if k % 10 == 3:  # models make mistakes: broken JSON is repaired, a wrong value is answered with the schema
        script[2:3] = [
            turn("And in the currency wanted?", ("convert", {"euros": "much", "currency": currency})),
            turn("Again, as a number.", ("convert", f"{{'euros': {euros}, 'currency': '{currency}',}}")),
        ]
    return {
        "id": f"order-{k:02}",
        "prompt": f"What do {order} cost in {currency}?",
        "target": answer,
        "metadata": {"currency": currency},
        "script": script,
    }


def main() -> None:
    rng = random.Random(SEED)
    with (Path(__file__).parent / "jobs.jsonl").open("w") as file:
        file.writelines(json.dumps(task(k, rng)) + "\n" for k in range(20))


if __name__ == "__main__":
    main()
