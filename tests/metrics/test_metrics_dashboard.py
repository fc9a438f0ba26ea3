"""docs/grafana.json shows series that exist: ours as they are exported, SGLang's as the simulated server serves them."""

import asyncio
import json
import re
from pathlib import Path

from metered import STORY, Metered
from served import chat, get, post, server

from concur_batch.metrics.gauges import GAUGES
from concur_batch.metrics.tally import COUNTERS, HISTOGRAMS
from concur_batch.virtual import run_virtual

DOCS = Path(__file__).resolve().parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
ASKED = [*QUERIES, *(v["definition"] for v in VARIABLES.values() if "definition" in v)]


def names(prefix):
    return {name for query in ASKED for name in re.findall(rf"\b{prefix}[a-z_]+", query)}


def sglang(**options):
    """The series of a simulated server under load with a pool that is too small."""

    async def story():
        app = server(capacity=1_000, schedule_conservativeness=0.05, **options)
        bodies = [chat(f"{i % 8}" * 290, max_tokens=60, stream=i % 2 == 0) for i in range(16)]
        await asyncio.gather(*(post(app, "/v1/chat/completions", body) for body in bodies))
        await asyncio.gather(*(post(app, "/v1/chat/completions", body) for body in bodies))
        return (await get(app, "/metrics")).text

    return set(re.findall(r"^(sglang:\w+)", run_virtual(story()), re.MULTILINE))


def test_every_series_of_ours_is_exported():
    assert len(names("concur_")) > 25
    assert names("concur_") | names("process_") <= Metered(STORY).names | {"concur_run_info"}


def test_labels_are_those_that_the_series_have():
    labels = {name: set(labels) for name, (_, labels) in GAUGES.items()}
    labels |= {f"{name}_total": set(labels) for name, (_, labels) in COUNTERS.items()}
    labels |= {f"{name}_bucket": {"le", *labels} for name, (_, labels, _) in HISTOGRAMS.items()}
    for query in ASKED:
        for name, selector in re.findall(r"\bconcur_(\w+)\{([^}]*)\}", query):
            asked = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', selector))
            assert asked - {"instance"} <= labels[name], query
            grouped = re.findall(rf"by \(([\w, ]+)\) \((?:rate\()?concur_{name}\{{", query)
            assert {one for group in grouped for one in group.split(", ")} <= labels[name] | {"instance"}, query


def test_every_series_of_sglang_is_served():
    asked = {name.removesuffix("_bucket") for name in names("sglang:")}
    assert {"sglang:token_usage", "sglang:num_queue_reqs", "sglang:cache_hit_rate", "sglang:gen_throughput"} <= asked
    served = sglang() | sglang(host_ratio=2.0)
    assert asked <= served | {name.removesuffix("_bucket") for name in served}


def test_it_can_be_imported_anywhere():
    text = json.dumps(DASHBOARD["panels"])
    assert {source["uid"] for source in find(DASHBOARD["panels"], "datasource")} == {"${DS_PROMETHEUS}"}
    assert set(re.findall(r"\$(\w+)", text)) - {"__rate_interval"} <= VARIABLES.keys()
    assert VARIABLES["DS_PROMETHEUS"]["type"] == "datasource"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


def find(value, key):
    if isinstance(value, dict):
        own = [value[key]] if key in value else []
        return own + [found for item in value.values() for found in find(item, key)]
    return [found for item in value for found in find(item, key)] if isinstance(value, list) else []


def test_panels_do_not_overlap():
    cells = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        own = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not own & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= own


def test_queries_are_closed():
    for query in QUERIES:
        assert query.count("(") == query.count(")")
        assert query.count("{") == query.count("}")
        assert query.count('"') % 2 == 0


def test_the_page_lists_every_series():
    """docs/metrics.md."""
    listed = set(re.findall(r"`concur_(\w+)`", (DOCS / "metrics.md").read_text(encoding="utf-8")))
    assert listed == {*GAUGES, *(f"{name}_total" for name in COUNTERS), *HISTOGRAMS, "run_info"}
