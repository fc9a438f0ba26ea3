"""The referee of the game: works an expression out exactly, and runs nothing else."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from fractions import Fraction

from concur_batch.toolbox import tool

OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def work_out(node: ast.expr, used: list[int]) -> Fraction:
    """The exact value of a node of + - * / over whole numbers, which are appended to `used`. ValueError: something else."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](work_out(left, used), work_out(right, used))
        case ast.Constant(value=number) if type(number) is int:
            used.append(number)
            return Fraction(number)
    raise ValueError("only whole numbers, + - * / and brackets")


@tool(repeatable=True)
def check(expression: str, numbers: list[int], goal: int) -> str:
    """Work the expression out and say what is wrong with it.

    Args:
        expression: e.g. `(7 + 5) * 2`.
        numbers: what it has to be made of, each used once.
        goal: what it should come to.
    """
    used: list[int] = []
    try:
        value = work_out(ast.parse(expression, mode="eval").body, used)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"This is no expression of the game ({error}). Try again."
    except ZeroDivisionError:
        return "This divides by zero. Try again."
    if sorted(used) != sorted(numbers):
        return f"This uses {sorted(used)}, not {sorted(numbers)}. Try again."
    return "solved" if value == goal else f"This makes {value}, not {goal}. Try again."
