import base64
import gzip
import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from report_runs import HOSTILE, Recorded, hostile, ordinary

from concur_batch.report.build import MOST_BYTES, Run, html
from concur_batch.report.page import safe_json
from concur_batch.report.run import RunReport


def run(records, name="run", config=None):
    report = RunReport(Recorded(records))
    report.read()
    return Run(name=name, path=f"runs/{name}", condition="finished", report=report, config=config or {"config": {"a": 1}})


class Reader(HTMLParser):
    """Elements as a browser sees them."""

    def __init__(self):
        super().__init__()
        self.elements = []
        self.texts = {}
        self.inside = None

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = len(self.elements) - 1 if tag in ("script", "style", "title") else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside is not None:
            self.texts[self.inside] = self.texts.get(self.inside, "") + data

    def all(self, tag):
        return [(attributes, self.texts.get(i, "")) for i, (name, attributes) in enumerate(self.elements) if name == tag]


def read(text):
    reader = Reader()
    reader.feed(text)
    return reader


@pytest.fixture(scope="module")
def hostile_page():
    runs = [run(hostile(), f"evil {HOSTILE}", {"config": {HOSTILE: HOSTILE}}), run(ordinary(), "good")]
    return "".join(html(runs)).encode(errors="replace").decode()


def test_json_in_a_script_element_cannot_end_it():
    text = safe_json({"a": HOSTILE})
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == {"a": HOSTILE}
    with pytest.raises(ValueError, match="JSON compliant"):
        safe_json(float("nan"))


def test_content_adds_no_element_to_the_page(hostile_page):
    plain = read("".join(html([run(ordinary()), run(ordinary())])))
    kinds = [
        [name for name, attributes in page.elements if not attributes.get("id", "").startswith("block-")]
        for page in (plain, read(hostile_page))
    ]
    assert kinds[0] == kinds[1]


def test_the_policy_lets_in_our_scripts_and_nothing_else(hostile_page):
    page = read(hostile_page)
    (policy,) = [
        attributes["content"] for attributes, _ in page.all("meta") if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in unescape(policy).split(";"))
    scripts = [text for attributes, text in page.all("script") if "type" not in attributes]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts]
    assert rules["script-src"].split() == hashes
    assert len(hashes) == 2
    assert (rules["default-src"], rules["connect-src"], rules["img-src"]) == ("'none'", "'none'", "data: blob:")


def test_nothing_is_fetched_from_anywhere(hostile_page):
    page = read(hostile_page)
    assert not [attributes for _, attributes in page.elements if {"src", "href"} & set(attributes)]
    (style,) = page.all("style")
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_our_scripts_never_read_markup(hostile_page):
    ours = [text for attributes, text in read(hostile_page).all("script") if "type" not in attributes][1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setAttribute\('on", ours)


def test_every_trajectory_is_in_the_block_that_the_list_names():
    page = read("".join(html([run(ordinary(), "a"), run(ordinary(9), "b")])))
    scripts = {attributes.get("id"): text for attributes, text in page.all("script")}
    for told, rollouts in zip(json.loads(scripts["data"])["runs"], (6, 9), strict=True):
        kept = told["trajectories"]
        rows = unpack(scripts[f"block-{kept['list']}"])
        assert (len(rows), kept["shown"], kept["failures_shown"]) == (rollouts, rollouts, rollouts // 3)
        for name, _, _, _, _, block, place in rows:
            assert unpack(scripts[f"block-{block}"])[place]["head"]["id"] == name


def unpack(block):
    return json.loads(gzip.decompress(base64.b64decode(block)))


def test_a_page_stays_within_its_size(monkeypatch):
    monkeypatch.setattr("concur_batch.report.build.MOST_BYTES", 5_100_000)
    size = len("".join(html([run(hostile(120)), run(ordinary(300))])).encode(errors="replace"))
    assert size < 5_100_000 < MOST_BYTES < 8_000_000


def test_the_title_names_the_run_as_text(hostile_page):
    one = "".join(html([run(ordinary(), "<b>\ud800&")]))
    assert "<title>&lt;b&gt;\\ud800&amp; - concur report</title>" in one
    assert read(hostile_page).all("title")[0][1] == "2 runs - concur report"


def test_what_can_be_read_is_listed_even_where_not_all_are(monkeypatch):
    """The list gives way to trajectories, but not its own rows of them."""
    plain = len("".join(html([run([])])))
    monkeypatch.setattr("concur_batch.report.build.MOST_BYTES", plain + 60_000)
    page = read("".join(html([run(ordinary(2_000))])))
    scripts = {attributes.get("id"): text for attributes, text in page.all("script")}
    (told,) = json.loads(scripts["data"])["runs"]
    kept, rows = told["trajectories"], unpack(scripts["block-0"])
    assert kept["all"] == 2_000
    assert kept["shown"] == sum(row[5] >= 0 for row in rows) > 0
    assert len(rows) == kept["listed"] < 2_000
