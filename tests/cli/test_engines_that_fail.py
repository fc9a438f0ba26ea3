"""The whole program against servers that refuse, answer nonsense, fail, hang, or die."""

import asyncio
import json
import signal
import threading

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from forked import PIPE, Program, concur

from concur_batch.cli.run.segment import probe_all
from concur_batch.config import Config
from concur_batch.errors import EngineDown, EngineSilent


def chat(content, prompt=20):
    return {
        "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 3},
    }


class Server:
    """A chat server in a thread of its own; `answer` makes each reply of /v1/chat/completions."""

    def __init__(self, answer, models=("m",)):
        self.answer, self.models, self.calls = answer, models, 0
        self.loop = asyncio.new_event_loop()
        self.port = None
        self._ready = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_):
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _serve(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._open())
        self._ready.set()
        self.loop.run_forever()
        self.loop.run_until_complete(self._runner.cleanup())
        self.loop.close()

    async def _open(self):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/flush_cache", self._flush)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def _models(self, request):
        return web.json_response({"object": "list", "data": [{"id": m, "object": "model"} for m in self.models]})

    async def _flush(self, request):
        return web.Response()

    async def _chat(self, request):
        self.calls += 1
        return await self.answer(request, self.calls)


def run(tmp_path, url, *more, code, rows=2):
    job = tmp_path / "job.jsonl"
    job.write_text("".join(json.dumps({"id": f"t{i}", "prompt": "x"}) + "\n" for i in range(rows)))
    done = concur("run", job, "--engine", url, "--out", "out", "--no-live", *more, cwd=tmp_path)
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def statuses(tmp_path):
    return [
        (row["status"], (row["error"] or {}).get("class")) for row in pq.read_table(tmp_path / "out/results.parquet").to_pylist()
    ]


def test_a_plain_openai_server_works_and_says_what_it_lacks(tmp_path):
    async def answer(request, n):
        return web.json_response(chat("hello"))

    with Server(answer) as server:
        done = run(tmp_path, server.url, code=0)
    assert "no cache statistics" in done.stderr
    assert statuses(tmp_path) == [("completed", None)] * 2


def test_a_refused_connection_is_told_at_once(tmp_path):
    done = run(tmp_path, "http://127.0.0.1:9", "--set", "engine.start_wait_s=0", code=3)
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "advised", "not_advised"), [(EngineSilent, "See its log", "start_wait_s"), (EngineDown, "start_wait_s", "its log")]
)
def test_one_that_does_not_answer_is_not_to_be_waited_for_longer(kind, advised, not_advised):
    class Away:
        name = "http://a"

        async def probe(self):
            raise kind("http://a: told")

    with pytest.raises(EngineDown, match=f"http://a: told; .*{advised}") as raised:
        asyncio.run(probe_all([Away()], Config(engine={"start_wait_s": 0})))
    assert not_advised not in str(raised.value)


def test_an_unknown_model_is_told_with_those_there_are(tmp_path):
    async def answer(request, n):
        return web.json_response(chat("hello"))

    with Server(answer, models=("qwen", "llama")) as server:
        done = run(tmp_path, server.url, "--model", "gpt", code=2)
    assert "qwen, llama" in done.stderr


def test_models_of_rows_that_are_not_served_are_told_once(tmp_path):
    async def answer(request, n):
        return web.json_response(chat("hello"))

    rows = [{"id": f"t{i}", "prompt": "x", "model": model} for i, model in enumerate(("gpt\x1b[1m\n4", "gpt\x1b[1m\n4", "qwen"))]
    (tmp_path / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for out, models, noted in (("a", ("qwen",), True), ("b", ("qwen", "gpt\x1b[1m\n4"), False)):
        with Server(answer, models=models) as server:
            done = concur("run", "job.jsonl", "--engine", server.url, "--out", out, "--no-live", cwd=tmp_path)
        assert (r"note: 2 rows ask for gpt\x1b[1m 4, which no engine lists" in done.stderr) == noted


def test_a_comparison_that_is_interrupted_tells_of_no_way_on(tmp_path):
    (tmp_path / "job.jsonl").write_text('{"prompt": "x"}\n' * 3)
    programs = []

    async def answer(request, n):
        if n == 4:  # of the second run
            programs[0].send_signal(signal.SIGINT)
        return web.json_response(chat("hello"))

    with Server(answer) as server:
        options = ("--controllers", "off,fixed:1", "--max-agents", "1", "--out", "out")
        program = Program("compare", "job.jsonl", "--engine", server.url, *options, cwd=tmp_path, stdout=PIPE, stderr=PIPE)
        programs.append(program)
        table, told = program.communicate(timeout=60)
    assert program.returncode == 130
    assert "off" in table
    assert "go on with" not in told
    assert "the comparison cannot be gone on with" in told
    assert "1 run that ended: out/comparison.json" in told


@pytest.mark.parametrize(
    ("then", "asked", "noted"), [(("m",), "m", False), (("b", "m"), "m", False), (("b", "c"), "b", True), ((), "m", False)]
)
def test_a_resumed_run_goes_on_with_its_model_or_says_that_it_does_not(tmp_path, then, asked, noted):
    models = []

    async def answer(request, n):
        models.append((await request.json())["model"])
        return web.json_response(chat("hello"))

    async def dies(request, n):
        if models:
            asyncio.get_running_loop().stop()
            await asyncio.sleep(60)
        return await answer(request, n)

    with Server(dies, models=("m", "x")) as server:
        run(tmp_path, server.url, "--set", "engine.wait_s=1", "--controller", "fixed:1", code=3, rows=3)
    with Server(dies, models=("b",)) as server:  # by mistake, and no answer came of it
        concur("resume", "out", "--engine", server.url, "--no-live", cwd=tmp_path)
    models.clear()
    with Server(answer, models=then) as server:
        done = concur("resume", "out", "--engine", server.url, "--no-live", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(models) == {asked}
    said = "note: 1 rollout began with m, which no engine lists now, and will go on with b, unless the row names it; if"
    assert (said in done.stderr) == noted == ("note: " in done.stderr)


def test_html_is_no_engine(tmp_path):
    async def page(request):
        return web.Response(text="<html>hello</html>", content_type="text/html")

    async def answer(request, n):
        return await page(request)

    class Pages(Server):
        async def _models(self, request):
            return await page(request)

    with Pages(answer) as server:
        done = run(tmp_path, server.url, code=3)
    assert server.url in done.stderr


@pytest.mark.parametrize("kind", ["html", "500", "cut"])
def test_what_passes_later_is_tried_again(tmp_path, kind):
    async def answer(request, n):
        if n > 2:
            return web.json_response(chat("at last"))
        if kind == "html":
            return web.Response(text="<html>starting</html>", content_type="text/html", status=502)
        if kind == "500":
            return web.json_response({"message": "oops"}, status=500)
        request.transport.abort()
        return web.Response()

    with Server(answer) as server:
        run(tmp_path, server.url, code=0)
    assert statuses(tmp_path) == [("completed", None)] * 2


def test_500_for_ever_is_a_failure_of_the_rollout(tmp_path):
    async def answer(request, n):
        return web.json_response({"message": "oops"}, status=500)

    with Server(answer) as server:
        run(tmp_path, server.url, "--set", "engine.attempts=2", code=1)
    assert statuses(tmp_path) == [("error", "engine")] * 2


def test_a_server_that_hangs_is_given_up_per_call(tmp_path):
    async def answer(request, n):
        await asyncio.sleep(60)

    with Server(answer) as server:
        run(tmp_path, server.url, "--set", "engine.request_timeout_s=0.5", "--set", "engine.attempts=2", code=1)
    assert statuses(tmp_path) == [("error", "engine")] * 2


def test_a_dead_engine_ends_the_run_resumable(tmp_path):
    async def answer(request, n):
        if n == 1:
            return web.json_response(chat("one"))
        os_exit.set()
        return await asyncio.sleep(60)

    os_exit = threading.Event()
    with Server(answer) as server:
        killer = threading.Thread(target=lambda: (os_exit.wait(30), server.loop.call_soon_threadsafe(server.loop.stop)))
        killer.start()
        told = ("--on-exit", "cat > told.json")
        done = run(tmp_path, server.url, "--set", "engine.wait_s=1", "--controller", "fixed:1", *told, code=3)
        killer.join()
    assert f"concur: {server.url}: did not return within 1 s after this: " in done.stderr
    assert done.stderr.count(server.url) == 1
    assert "concur resume out" in done.stderr
    assert statuses(tmp_path) == [("completed", None)]
    summary = json.loads((tmp_path / "told.json").read_text())
    assert (summary["ended"], summary["exit_code"], summary["error"]["class"]) == ("engine", 3, "engine_down")
    assert summary["rollouts"]["ended"] == 1
