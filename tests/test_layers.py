"""docs/architecture.md, "Layers": who may import whom. Read from the code itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "src"
PURE = ("control", "records", "state", "task", "errors", "recorder", "held", "broken_json", "histogram", "sim")
PROTOCOLS = ("engine.base", "toolbox.base")
SHARED = ("own_code",)  # of use to the flow and to edges; touches files
FLOW = (
    "runner",
    "rollout",
    "plan",
    "lane",
    "lane_records",
    "presence",
    "gate",
    "in_flight",
    "calls",
    "retry",
    "touches",
    "agent",
)
EDGES = (
    "engine",
    "toolbox",
    "jobs",
    "journal",
    "results",
    "report",
    "dashboard",
    "metrics",
    "tracing",
    "config",
    "status",
    "virtual",
)

PURE_RESULTS = tuple(
    f"results.{name}"
    for name in (
        "bins",
        "elapsed",
        "labelled",
        "lineage",
        "source",
        "sparklines",
        "spoken",
        "summary",
        "tally",
        "transcript",
        "visible",
    )
)


def modules():
    for path in sorted((ROOT / "concur_batch").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name.removeprefix("concur_batch").removeprefix("."), path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "concur_batch" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from names


def ours(path):
    found = {name.removeprefix("concur_batch.") for name in imports(path) if name.startswith("concur_batch.")}
    return found - {"__version__"}


def within(name, places):
    return any(name == place or name.startswith(place + ".") for place in places)


def edge_of(name):
    return next((edge for edge in EDGES if within(name, [edge])), None)


ALL = dict(modules())


@pytest.mark.parametrize("name", [n for n in ALL if within(n, PURE) or within(n, PROTOCOLS)])
def test_pure_modules_and_protocols_import_only_such(name):
    assert [found for found in ours(ALL[name]) if not within(found, PURE + PROTOCOLS)] == []


@pytest.mark.parametrize("name", [n for n in ALL if within(n, PURE)])
def test_pure_modules_touch_neither_clock_nor_loop_nor_files(name):
    banned = {"asyncio", "time", "os", "pathlib", "socket", "threading", "random"}
    if name == "sim.workload":
        banned.remove("random")  # it draws from a generator that it seeds itself
    assert banned.isdisjoint(found.partition(".")[0] for found in imports(ALL[name]))


@pytest.mark.parametrize("name", [n for n in ALL if within(n, FLOW)])
def test_the_flow_knows_protocols_only(name):
    assert [found for found in ours(ALL[name]) if not within(found, PURE + PROTOCOLS + SHARED + FLOW)] == []


@pytest.mark.parametrize("name", [n for n in ALL if edge_of(n) and not within(n, PROTOCOLS)])
def test_an_edge_imports_no_other_edge_and_not_the_flow(name):
    allowed = PURE + PROTOCOLS + SHARED + (edge_of(name),)
    if name == "status":
        allowed += ("results.labelled", "results.summary", "results.visible")  # pure, and the same figures
    if edge_of(name) == "report":
        allowed += PURE_RESULTS
    assert [found for found in ours(ALL[name]) if not within(found, allowed)] == []


def test_every_module_has_its_layer():
    known = PURE + SHARED + FLOW + EDGES + ("cli",)
    assert [name for name in ALL if name and not within(name, known)] == []
