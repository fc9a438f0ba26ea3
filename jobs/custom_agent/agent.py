"""An agent with a flow of its own: search by proposal and check, for the game Countdown.

The model proposes an expression, a tool works it out, and the agent tells the model what it came to, until the goal is met or
the tries are used up. The model need not be able to call tools: this function decides what is called.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from concur_batch.agent import agent
from concur_batch.agent.context import Context
from concur_batch.task import Task

RULES = (
    "Combine all the numbers, each used once, with + - * / and brackets so that they make the goal. "
    "Think in a few words; write the expression alone on the last line."
)


class Game(BaseModel):
    """One row of the job file, in place of `prompt` or `messages`."""

    numbers: list[int] = Field(min_length=2, max_length=6)
    goal: int
    tries: int = Field(default=5, ge=1)


@agent(schema=Game)
async def countdown(task: Task, ctx: Context) -> str | None:
    """Return the expression that makes the goal, or None where no try did."""
    game = Game.model_validate(task.fields)
    # Each rollout sees the numbers in an order of its own. The context's randomness is the same again on resume.
    numbers = ctx.random.sample(game.numbers, len(game.numbers))
    messages = [
        {"role": "system", "content": RULES},
        {"role": "user", "content": f"Numbers: {', '.join(map(str, numbers))}. Goal: {game.goal}."},
    ]
    for _ in range(game.tries):
        reply = await ctx.complete(messages, tools=[])
        messages.append(reply.message)  # only ever appended to: the engine finds the prefix in its cache
        lines = (reply.message.get("content") or "").strip().splitlines()
        expression = lines[-1].strip() if lines else ""
        verdict = await ctx.call("check", {"expression": expression, "numbers": game.numbers, "goal": game.goal})
        if verdict.content == "solved":
            return expression
        messages.append(verdict.message)
    return None
