"""Writes jobs.jsonl: 200 tasks with scripts, always the same ones. Run it as `python jobs/quickstart/make.py`."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

TASKS = 200
SEED = 20240229
TOOLS = ["read_file", "write_file", "shell", "python"]
WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heath",
    "inlet",
    "jetty",
    "knoll",
    "larch",
    "marsh",
    "notch",
    "oasis",
    "pines",
]

Turn = dict[str, Any] | str
Task = tuple[str, str, list[Turn]]  # prompt, answer, script


def turn(content: str, *calls: tuple[str, dict[str, Any]]) -> Turn:
    return {"content": content, "tool_calls": [{"name": name, "arguments": arguments} for name, arguments in calls]}


def write(path: str, content: str) -> tuple[str, dict[str, Any]]:
    return "write_file", {"path": path, "content": content}


def shell(command: str) -> tuple[str, dict[str, Any]]:
    return "shell", {"command": command}


def python(code: str) -> tuple[str, dict[str, Any]]:
    return "python", {"code": code}


def must_be(command: str, expected: object) -> tuple[str, dict[str, Any]]:
    """A shell call that fails loudly unless the command prints what is expected."""
    return shell(
        f'got="$({command})"\n[ "$got" = "{expected}" ] || {{ echo "wrong: $got, not {expected}"; exit 1; }}\necho "right: $got"'
    )


def ledger(rng: random.Random) -> Task:
    rows = [(rng.choice(WORDS[:6]), rng.randrange(-500, 1000)) for _ in range(60)]
    totals: Counter[str] = Counter()
    for account, cents in rows:
        totals[account] += cents
    best = max(sorted(totals), key=totals.__getitem__)
    text = "account,cents\n" + "".join(f"{account},{cents}\n" for account, cents in rows)
    program = (
        "import csv, json\nfrom collections import Counter\ntotals = Counter()\n"
        "for row in csv.DictReader(open('ledger.csv')):\n    totals[row['account']] += int(row['cents'])\n"
        "json.dump(totals, open('totals.json', 'w'), sort_keys=True)\nprint(max(sorted(totals), key=totals.__getitem__))\n"
    )
    return (
        "Write the ledger to ledger.csv, add up each account, and name the account with the highest balance.",
        f"{best}: {totals[best]} cents",
        [
            turn("First the ledger goes into a file.", write("ledger.csv", text)),
            turn("Now the balances.", python(program)),
            turn("I add the best account up again, in another way.", must_be(f"awk -F, '$1 == \"{best}\" {{ s += $2 }} END {{ print s }}' ledger.csv", totals[best])),
            turn("And compare with what the program wrote.", must_be(f"python -c \"import json; print(json.load(open('totals.json'))['{best}'])\"", totals[best])),
            f"{best}: {totals[best]} cents",
        ],
    )  # fmt: skip


def primes(rng: random.Random) -> Task:
    limit = rng.randrange(20_000, 60_000)
    sieve = bytearray([1]) * (limit + 1)
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(sieve[n * n :: n]))
    found = [n for n in range(2, limit + 1) if sieve[n]]
    program = (
        f"limit = {limit}\nsieve = bytearray([1]) * (limit + 1)\nfor n in range(2, int(limit ** 0.5) + 1):\n"
        "    if sieve[n]:\n        sieve[n * n :: n] = bytes(len(sieve[n * n :: n]))\n"
        "with open('primes.txt', 'w') as file:\n    file.writelines(f'{n}\\n' for n in range(2, limit + 1) if sieve[n])\n"
    )
    check = (
        "n = int(open('primes.txt').read().split()[-1])\nassert all(n % k for k in range(2, int(n ** 0.5) + 1)), n\nprint(n)\n"
    )
    return (
        f"How many primes are there up to {limit}, and which is the largest? Write them to primes.txt.",
        f"{len(found)} primes, the largest is {found[-1]}",
        [
            turn("A sieve will do.", python(program)),
            turn("How many lines, and what is the last?", must_be("wc -l < primes.txt | tr -d ' '", len(found)), must_be("tail -n 1 primes.txt", found[-1])),
            turn("I try the largest by division.", python(check)),
            turn("A look at the beginning.", ("read_file", {"path": "primes.txt", "lines": 5})),
            f"{len(found)} primes, the largest is {found[-1]}",
        ],
    )  # fmt: skip


def words(rng: random.Random) -> Task:
    lines = [" ".join(rng.choices(WORDS, weights=range(1, 17), k=12)) for _ in range(40)]
    counts = Counter(" ".join(lines).split())
    most = min(counts, key=lambda word: (-counts[word], word))
    half = len(lines) // 2
    pipeline = "cat part1.txt part2.txt | tr ' ' '\\n' | sort | uniq -c | sort -k1,1nr -k2,2 | head -n 1 | awk '{ print $2, $1 }'"
    program = (
        "from collections import Counter\ncounts = Counter((open('part1.txt').read() + open('part2.txt').read()).split())\n"
        "best = min(counts, key=lambda word: (-counts[word], word))\nopen('answer.txt', 'w').write(f'{best} {counts[best]}\\n')\n"
    )
    return (
        "Write the text to part1.txt and part2.txt, and find its most frequent word.",
        f"{most} ({counts[most]} times)",
        [
            turn(
                "Both parts can be written at once.",
                write("part1.txt", "\n".join(lines[:half]) + "\n"),
                write("part2.txt", "\n".join(lines[half:]) + "\n"),
            ),
            turn("Counting with the shell.", shell(f"{pipeline} | tee shell.txt")),
            turn("Counting with Python.", python(program)),
            turn("Both must agree.", shell("cmp shell.txt answer.txt && cat answer.txt")),
            turn("And be what I think.", must_be("cat answer.txt", f"{most} {counts[most]}")),
            f"{most} ({counts[most]} times)",
        ],
    )


def repair(rng: random.Random) -> Task:
    shift, numbers = rng.randrange(2, 9), sorted(rng.sample(range(1000), 9))
    numbers = numbers[: 7 + 2 * rng.randrange(2)]
    median = numbers[len(numbers) // 2] + shift
    code = "def median(numbers):\n    ordered = sorted(numbers)\n    return ordered[len(ordered) // 2{bug}]\n"
    test = (
        "import unittest\nfrom middle import median\n\nclass Test(unittest.TestCase):\n"
        f"    def test_median(self):\n        self.assertEqual(median([n + {shift} for n in {numbers}]), {median})\n"
        "    def test_one(self):\n        self.assertEqual(median([5]), 5)\n\nunittest.main()\n"
    )
    return (
        "middle.py is wrong by one. Write it and a test, see the test fail, repair middle.py and see the test pass.",
        f"repaired; the median is {median}",
        [
            turn("The program as given, and a test.", write("middle.py", code.format(bug=" - 1")), write("test_middle.py", test)),
            turn("The test has to fail.", shell("if python test_middle.py 2> log.txt; then echo 'it passed'; exit 1; fi; grep FAILED log.txt")),
            turn("The index is one too low.", ("read_file", {"path": "middle.py"})),
            turn("Repaired:", write("middle.py", code.format(bug=""))),
            turn("Now it has to pass.", shell("python test_middle.py 2>&1 | tail -n 1 | grep -x OK")),
            turn("And give the right number.", must_be(f"python -c \"from middle import median; print(median({[n + shift for n in numbers]}))\"", median)),
            f"repaired; the median is {median}",
        ],
    )  # fmt: skip


def stock(rng: random.Random) -> Task:
    items = [{"item": word, "count": rng.randrange(1, 90), "price": rng.randrange(5, 400)} for word in rng.sample(WORDS, 12)]
    worth = sum(item["count"] * item["price"] for item in items)  # type: ignore[operator]
    scarce = sorted(str(item["item"]) for item in items if int(str(item["count"])) < 30)
    convert = (
        "import csv, json\nitems = json.load(open('stock.json'))\nwith open('stock.csv', 'w', newline='') as file:\n"
        "    writer = csv.DictWriter(file, ['item', 'count', 'price'], lineterminator='\\n')\n    writer.writerows(items)\n"
    )
    store = (
        "import csv, sqlite3\nbase = sqlite3.connect('stock.db')\nbase.execute('create table stock (item text, count int, price int)')\n"
        "base.executemany('insert into stock values (?, ?, ?)', csv.reader(open('stock.csv')))\nbase.commit()\n"
        "print(base.execute('select sum(count * price) from stock').fetchone()[0])\n"
    )
    query = (
        "import sqlite3\nrows = sqlite3.connect('stock.db').execute('select item from stock where count < 30 order by item')\n"
        "open('scarce.txt', 'w').writelines(f'{item}\\n' for item, in rows)\n"
    )
    return (
        "Bring the stock list into a SQLite database by way of CSV. What is it worth, and what is scarce (fewer than 30)?",
        f"worth {worth}; scarce: {', '.join(scarce) or 'nothing'}",
        [
            turn("The list as it is.", write("data/stock.json", json.dumps(items, indent=1)), shell("mkdir -p data && echo ready")),
            turn("To the top folder, and to CSV.", shell("cp data/stock.json stock.json && ls")),
            turn("Converting.", python(convert)),
            turn("The worth, from the CSV.", must_be("awk -F, '{ s += $2 * $3 } END { print s }' stock.csv", worth)),
            turn("Into the database.", python(store)),
            turn("What is scarce?", python(query)),
            turn("Both answers once more.", must_be("paste -sd, scarce.txt", ",".join(scarce)), must_be("wc -l < stock.csv | tr -d ' '", len(items))),
            f"worth {worth}; scarce: {', '.join(scarce) or 'nothing'}",
        ],
    )  # fmt: skip


KINDS: list[Callable[[random.Random], Task]] = [ledger, primes, words, repair, stock]


def main() -> None:
    rng = random.Random(SEED)
    with (Path(__file__).parent / "jobs.jsonl").open("w") as file:
        for k in range(TASKS):
            kind = KINDS[k % len(KINDS)]
            prompt, answer, script = kind(rng)
            row = {
                "id": f"{kind.__name__}-{k:03}",
                "prompt": prompt,
                "tools": TOOLS,
                "target": answer,
                "metadata": {"kind": kind.__name__},
                "script": script,
            }
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
