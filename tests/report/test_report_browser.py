"""The page in a real browser, opened as a file: what a person sees, and that nothing of a task's content ever runs."""

import itertools
import shutil
from contextlib import closing

import pytest
from journals import reply, start, tool
from report_runs import HOSTILE, decided, end, hostile, opening, ordinary, sampled, write_run

from concur_batch.cli.look.report import report
from concur_batch.records import Decided, RolloutStarted
from concur_batch.results.visible import visible

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra browser: pip install 'concur-batch[browser]'")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")]
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-quic",
]  # fmt: skip
ARGUMENTS_SAID = ['{"id": 1234567890123456789}', '{"x": 1, "x": 2}', '{"say": "\\u00e9 a\\nb", "n": [1,  2]}', "7 "]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


def gaps():
    """One step, a failed tool call, a far limit; what the engine tells is missing in the middle, and told once more alone."""
    told = [
        sampled(float(t))
        if t < 6 or t == 9 or t > 11
        else sampled(
            float(t), prompt_tokens=0, cached_tokens=None, history_tokens=0, missed_tokens=None, locked=None, resident=None
        )
        for t in range(1, 16)
    ]
    once = [start("a#0"), reply("a#0", 1, 1), tool("a#0", 2, ok=False, error_class="tool"), end("a#0", 9.0)]
    return [*opening(1), decided(0.0, 346_000), *once, *told]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports by name."""
    folder = tmp_path_factory.mktemp("reports")
    runs = {
        "ordinary": write_run(folder / "ordinary", ordinary(12)),
        "hostile": write_run(folder / "hostile", hostile(), {HOSTILE: HOSTILE}),
        "empty": write_run(folder / "empty", []),
        "gaps": write_run(folder / "gaps", gaps()),
        "first": write_run(folder / "first", [*opening(1), start("a#0"), reply("a#0", 1, 1, cached_tokens=3), end("a#0", 9.0)]),
        "second": write_run(folder / "second", ordinary(6, policy="off"), {"run": {"seed": 1}}),
    }
    runs["unlimited"] = write_run(folder / "unlimited", [one for one in ordinary(6) if not isinstance(one, Decided)])
    minutes = [
        *opening(1),
        start("a#0"),
        end("a#0", 240.0),
        *(sampled(t, generated_tokens=0, prompt_tokens=0, active=0) for t in range(10, 241, 10)),
    ]
    runs["minutes"] = write_run(folder / "minutes", minutes)
    on_tokens = [*opening(1), decided(0.0, None, tokens=5000), start("a#0"), end("a#0", 9.0), sampled(10.0)]
    runs["tokens"] = write_run(folder / "tokens", on_tokens)
    runs["some"] = write_run(folder / "some", [*on_tokens, decided(10.0, 4, "f"), sampled(10.2, "f")])
    asked = reply("a#0", 1, 1, calls=["c"] * 4)
    for call, arguments in zip(asked.message["tool_calls"], ARGUMENTS_SAID, strict=True):
        call["function"]["arguments"] = arguments
    runs["arguments"] = write_run(folder / "arguments", [*opening(1), start("a#0"), asked, end("a#0", 9.0)])
    named = {name: [run] for name, run in runs.items()} | {
        "compared": [runs["ordinary"], runs["second"], runs["empty"]],
        "limits": [runs["gaps"], runs["second"], runs["unlimited"], runs["empty"]],
        "on tokens": [runs["tokens"], runs["some"], runs["unlimited"]],
        "both": [runs["hostile"], runs["ordinary"]],
    }
    for name, some in named.items():
        report(some, folder / f"{name}.html", as_json=False, open_it=False)
    return {name: (folder / f"{name}.html").as_uri() for name in named}


class Opened:
    """A page, and all that it did besides showing itself."""

    def __init__(self, browser, url, **options):
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        self.page = self.context.new_page()
        self.said, self.requests, self.dialogs = [], [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready=yes]")
        self.page.wait_for_selector("#trajectories")
        assert self.requests == [url]

    def close(self):
        assert (self.said, self.dialogs, len(self.requests)) == ([], [], 1)
        self.context.close()

    def curves(self, section):
        return self.page.locator(f"{section} svg .scatterlayer .trace").count()


def until(page, condition):
    """Wait for it without evaluating a string in the page, which its policy refuses."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)  # of the browser's own work
    pytest.fail(f"never came true: {condition}")


@pytest.fixture
def opened(browser, pages):
    """A page by the report's name; at the end it must have been silent and without a request."""
    shown = []

    def show(name, **options):
        shown.append(Opened(browser, pages[name], **options))
        return shown[-1]

    yield show
    for one in shown:
        one.close()


def test_charts_are_drawn_and_numbers_are_there(opened):
    shown = opened("ordinary")
    page = shown.page
    assert page.locator(".tile").count() == 8
    assert "completed" not in page.locator(".tile").first.inner_text()
    assert [one.inner_text() for one in page.locator("#time h3").all()[:4]] == [
        "KV cache",
        "Prefix cache",
        "Limit on agents",
        "Decode",
    ]
    assert shown.curves("#time") >= 9
    assert shown.curves("#context") >= 4
    assert page.locator("#agents svg .barlayer .point path").count() > 12 * 4
    assert page.locator("#time svg .annotation-text", has_text="evictable").count() == 1
    assert "no such file: 2" in page.locator("#errors").inner_text()
    assert page.locator("#tools tbody tr").count() == 1


def test_decisions_tell_their_reason_at_the_pointer(opened):
    page = opened("ordinary").page
    card = page.locator("#time .card", has=page.locator("h3", has_text="Limit on agents"))
    card.scroll_into_view_if_needed()
    mark = card.locator(".scatterlayer .points path").first.bounding_box()
    page.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2 + 20)
    page.mouse.move(mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2)
    page.wait_for_selector("#time .hoverlayer .legendtext")
    assert "first: 4 agents" in card.locator(".hoverlayer").text_content()


def test_one_timeline_takes_all_others_along(opened):
    page = opened("ordinary").page
    ranges = (
        "[...document.querySelectorAll('#time .chart')].map((one) => one._fullLayout.xaxis.range.map((x) => x.toFixed(3)).join())"
    )
    whole = page.evaluate(ranges)
    assert len(set(whole)) == 1
    page.evaluate("Plotly.relayout(document.querySelector('#time .chart'), {'xaxis.range[0]': 2, 'xaxis.range[1]': 4})")
    until(page, f"new Set({ranges}).size === 1 && {ranges}[0] === '2.000,4.000'")


def test_what_the_engine_did_not_tell_is_a_gap_and_a_lonely_point_is_seen(opened):
    page = opened("gaps").page
    card = page.locator("#time .card", has=page.locator("h3", has_text="Prefix cache"))
    assert card.locator(".scatterlayer .js-line").count() == 6  # three stretches of two rates, one of them a point
    pool = page.locator("#time .card", has=page.locator("h3", has_text="KV cache"))
    assert pool.locator(".scatterlayer .js-fill").count() == 9  # three stretches of three shares
    assert card.locator(".scatterlayer .points path").count() == 2  # one of each rate


def test_a_single_step_is_a_sentence_and_failed_tool_calls_are_pointed_to(opened):
    page = opened("gaps").page
    assert page.locator("#context .chart").count() == 0
    assert "1 agent made one step, and no agent more: the median has 12 tokens" in page.locator("#context").inner_text()
    assert "1 tool call failed, which the agents were told: Tools counts them" in page.locator("#errors").inner_text()


def test_why_nothing_is_known_of_what_was_computed_again(opened):
    def said(name):
        return opened(name).page.locator(".tile", has_text="computed again").inner_text()

    assert "no history was sent again" in said("first")
    assert "not told by the engine" in said("gaps")


def test_a_limit_far_above_is_named_and_so_is_a_missing_one(opened):
    page = opened("limits").page
    card = page.locator("#compared .card", has=page.locator("h3", has_text="Limit on agents"))
    shown = card.locator(".legend").text_content()
    assert "gaps 346 k ↑" in shown
    assert "unlimited: no limit" in shown
    assert "empty: never sampled" in shown
    assert "second 5 ↑" not in shown  # a far limit does not hide a near one


def test_a_limit_that_only_some_engines_have_is_no_missing_one(opened):
    page = opened("on tokens").page
    card = page.locator("#compared .card", has=page.locator("h3", has_text="Limit on tokens"))
    shown = card.locator(".legend").text_content()
    assert "some: on some engines only" in shown
    assert "unlimited: no limit" in shown


def test_a_trajectory_is_found_by_id_and_unfolds(opened):
    page = opened("ordinary").page
    page.wait_for_selector("#viewer .row .id")
    assert page.locator("#viewer .row").count() == 12
    assert page.locator("#viewer .row .id").all_inner_texts() == [f"task-{i}#0" for i in (2, 5, 8, 11, 0, 1, 3, 4, 6, 7, 9, 10)]
    assert "Failures come first, then the others; each by id." in page.locator("#trajectories").inner_text()
    page.get_by_label("Find an id", exact=True).fill("TASK-7")
    assert page.locator("#viewer .row .id").all_inner_texts() == ["task-7#0"]
    page.locator("#viewer .row").click()
    until(page, "document.querySelector('.story h3')?.textContent === 'task-7#0'")
    assert page.locator(".story > div > .item > summary .role").all_inner_texts() == ["user", "assistant", "tool", "assistant"]
    assert "step 1: 10 prompt tokens, 40 % cached" in page.locator(".story").inner_text()
    page.get_by_text("Fold all", exact=True).click()
    assert page.get_by_text("let me look, task-7#0").locator("visible=true").count() <= 1  # the peek
    assert page.locator(".story details[open]").count() == 0
    page.locator(".story .item summary").nth(1).click()
    assert page.locator(".story pre", has_text="let me look, task-7#0").is_visible()
    page.get_by_label("Status", exact=True).select_option("error")
    assert "No listed rollout" in page.locator("#viewer .found").inner_text()


def test_arguments_are_shown_as_they_came_where_a_browser_would_change_them(opened):
    said = opened("arguments").page.locator("#viewer .item.call pre")
    assert said.all_inner_texts() == [*ARGUMENTS_SAID[:2], "say:\n  é a\n  b\nn: [\n  1,\n  2\n]", "7"]


def test_an_example_of_an_error_leads_to_its_trajectory(opened):
    page = opened("ordinary").page
    page.locator("#errors .link", has_text="task-5#0").click()
    until(page, "document.querySelector('.story h3')?.textContent === 'task-5#0'")
    assert "tool: no such file: 5" in page.locator(".story").inner_text()


def test_runs_side_by_side(opened):
    shown = opened("compared")
    page = shown.page
    headings = page.locator("#comparison thead th").all_inner_texts()
    assert headings == ["", "ordinary", "second", "empty"]
    steps = page.locator("#comparison tr", has=page.locator("td", has_text="steps per second"))
    assert "\u00d7" in steps.inner_text()
    assert shown.curves("#compared") > 10
    assert page.locator("#compared details.more summary").inner_text() == "1 setting that differs"
    page.get_by_label("Run", exact=True).select_option(label="second")
    until(page, "document.querySelector('#viewer .count').textContent === '6 rollouts'")
    page.get_by_label("Run", exact=True).select_option(label="empty")
    assert "No engine was sampled" in page.locator("#time").inner_text()


def test_an_empty_run_has_a_page_too(opened):
    page = opened("empty").page
    assert "No engine was sampled" in page.locator("#time").inner_text()
    assert page.locator("#viewer").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_and_page_follow_the_theme_also_when_it_changes(opened, scheme):
    page = opened("ordinary", color_scheme=scheme).page
    light = {"dark": False, "light": True}
    locked = "getComputedStyle(document.querySelector('#time .scatterlayer .fills path')).fill"
    seen = {}
    for now in (scheme, "light" if scheme == "dark" else "dark"):
        page.emulate_media(color_scheme=now)
        until(
            page,
            "document.querySelector('#time .chart')._fullLayout.paper_bgcolor === getComputedStyle(document.documentElement).getPropertyValue('--card').trim()",
        )
        page.wait_for_timeout(100)  # a frame in which charts are drawn
        seen[now] = page.evaluate(locked)
        red = int(page.evaluate("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])
        assert (red > 128) == light[now]
    assert seen["light"] != seen["dark"]


def test_it_prints_light_and_within_the_paper(opened):
    page = opened("ordinary", color_scheme="dark").page
    assert page.pdf(format="A4", print_background=True).startswith(b"%PDF")
    page.emulate_media(media="print")
    until(page, "document.querySelector('#time .chart svg').clientWidth === 640")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#viewer").is_visible()


@pytest.mark.parametrize("width", [400, 800, 1600])
def test_no_width_makes_the_page_scroll_sideways(opened, width):
    page = opened("both", viewport={"width": width, "height": 900}).page
    page.wait_for_timeout(200)  # a frame in which charts are drawn
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_in_a_narrow_window_times_stand_upright_and_side_by_side(opened):
    page = opened("minutes", viewport={"width": 400, "height": 900}).page
    labels = page.locator("#time .chart").first.locator(".xtick text")
    labels.first.wait_for()
    boxes = labels.evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).map((box) => [box.left, box.right, box.height])"
    )
    assert len(boxes) > 1
    assert all(left[1] < right[0] for left, right in itertools.pairwise(boxes))
    assert all(box[2] < 20 for box in boxes)
    assert labels.last.text_content().endswith(" min")


def test_parts_of_one_are_no_thousandths(opened):
    page = opened("minutes").page
    page.locator("#time .ytick text").first.wait_for()
    ticks = page.locator("#time .ytick text").all_text_contents()
    assert "0.5" in ticks
    assert not [tick for tick in ticks if "m" in tick]


def test_nothing_of_a_hostile_run_runs(opened):
    shown = opened("hostile")
    page = shown.page
    page.wait_for_selector("#viewer .row .id")
    rows = page.locator("#viewer .row")
    assert rows.count() == 8
    for i in range(8):
        rows.nth(i).click()
        page.get_by_text("Unfold all", exact=True).click()
    page.get_by_label("Find an id", exact=True).fill("</script><script>")
    assert rows.count() == 8
    page.get_by_label("Find an id", exact=True).fill("\"'<img src=x onerror=alert(9)>")
    assert rows.locator(".id").count() == 0
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        for share in (0.2, 0.4, 0.6):
            page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.5)
            page.wait_for_timeout(60)  # the pointer rests, so that its label is drawn
    page.pdf()
    assert page.evaluate("window.__pwned") is None
    assert page.locator("main img, main a:not([href^='#']), main b, main script, main iframe").count() == 0
    assert page.locator("svg a, svg image").count() == 0
    assert page.evaluate("document.querySelectorAll('script').length") == page.evaluate(
        "document.querySelectorAll('body > script').length"
    )


def test_a_hostile_run_shows_what_was_said_word_for_word(opened):
    page = opened("hostile").page
    page.wait_for_selector(".story pre")
    said = page.locator(".story pre").first.evaluate("(one) => one.textContent")
    assert said == visible(HOSTILE.replace("\ud800", "?"))
    assert page.locator("#tools tbody tr").count() == 8
    assert "left out" in page.locator("#viewer").evaluate(
        "async (one) => { [...one.querySelectorAll('.row')].find((row) => row.textContent.includes('\\\\u200f0#0')).click();"
        " await new Promise((done) => setTimeout(done, 300)); return one.textContent; }"
    )


def test_no_text_turns_the_order_of_the_page_and_nothing_hides(opened):
    """Controls and marks of direction are seen as escapes everywhere: ids, errors, what was said, labels of charts."""
    page = opened("hostile").page
    page.wait_for_selector(".story pre")
    page.get_by_text("Unfold all", exact=True).click()
    texts = page.evaluate(
        "() => { const found = []; const walk = document.createTreeWalker(document.getElementById('page'), NodeFilter.SHOW_TEXT);"
        " while (walk.nextNode()) found.push(walk.currentNode.data); return found; }"
    )
    assert len(texts) > 100
    assert [text for text in texts if visible(text) != text] == []
    assert r"\x00\x07\x1b[2J\r \u202eevil\u202c" in page.locator("#errors .message").first.evaluate("(one) => one.textContent")
    assert r"\u202eevil" in page.locator("#viewer .row .id").first.evaluate("(one) => one.textContent")


def test_a_script_that_is_not_ours_is_refused_even_inside_the_page(browser, pages):
    """What the content security policy is for: were a text ever taken for markup, it would still not run."""
    with closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(pages["ordinary"])
        page.wait_for_selector("html[data-ready=yes]")
        refused = page.evaluate(
            "async () => { const refused = []; addEventListener('securitypolicyviolation', (one) => refused.push(one.effectiveDirective));"
            " document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x\" onerror=\"window.__pwned=1\">');"
            " const script = document.createElement('script'); script.textContent = 'window.__pwned=2'; document.body.append(script);"
            " try { await fetch('http://127.0.0.1:9/'); } catch { /* as it should be */ }"
            " await new Promise((done) => setTimeout(done, 200)); return refused; }"
        )
        assert {"img-src", "script-src-elem", "script-src-attr", "connect-src"} <= set(refused)
        assert page.evaluate("window.__pwned") is None


def test_the_hostile_story_is_as_hostile_as_it_should_be():
    started = [record for record in hostile() if isinstance(record, RolloutStarted)]
    assert all(sign in started[0].rollout for sign in ("</script>", "onerror", "\u2028", "\ud800", "javascript:"))
    assert max(len(message["content"]) for message in started[0].messages) > 1_000_000
