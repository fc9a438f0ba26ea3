"""The ratio of new tokens, the order of retraction and the budget of a prefill pass, for random requests."""

from __future__ import annotations

import random
from array import array
from contextlib import contextmanager
from types import SimpleNamespace

from sglang.srt.managers import schedule_batch, schedule_policy
from sglang.srt.managers.schedule_policy import AddReqResult, PrefillAdder
from sglang.srt.managers.scheduler_components import new_token_ratio_tracker
from sglang.srt.mem_cache.prefill_budget import PrefillBudget
from state_sequences import Finding

from concur_batch.sim.budget import Budget, Verdict
from concur_batch.sim.call import Call
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.queues import Queues
from concur_batch.sim.ratio import NewTokenRatio

EPSILON = 1e-12
PASSES = 20  # to a sequence: each of them is short


def _call(rng: random.Random, name: str, *, most: int = 6_000) -> Call:
    max_new = rng.randint(1, most)
    return Call(
        rid=name,
        prompt=[],
        output=[],
        prompt_tokens=rng.randint(1, most),
        max_new=max_new,
        generated=rng.randint(0, max_new - 1),
        ignore_eos=rng.random() < 0.3,
    )


def _request(call: Call) -> SimpleNamespace:
    """The same, as SGLang's functions see it."""
    return SimpleNamespace(
        rid=call.rid,
        origin_input_ids=range(call.prompt_tokens),
        output_ids=range(call.generated),
        sampling_params=SimpleNamespace(max_new_tokens=call.max_new, ignore_eos=call.ignore_eos),
    )


@contextmanager
def _settings(module: object, name: str, **settings: object):
    """What a function of this module gives as SGLang's settings while this lasts; only a whole server publishes them otherwise."""
    before = getattr(module, name)
    setattr(module, name, lambda: SimpleNamespace(**settings))
    try:
        yield
    finally:
        setattr(module, name, before)


def ratios(sequences: int, seed: int) -> Finding:
    """Decay, retraction, and starting over."""
    finding = Finding("ratio of new tokens", sequences)
    for i in range(sequences):
        rng = random.Random(f"{seed}/ratio/{i}")
        conservativeness = rng.choice((0.05, 0.3, 1.0, 1.6))
        with _settings(new_token_ratio_tracker, "get_schedule", schedule_conservativeness=conservativeness):
            theirs = new_token_ratio_tracker.NewTokenRatioTracker.from_config()
        ours = NewTokenRatio(conservativeness)
        for _ in range(40):
            finding.operations += 1
            deed = rng.random()
            if deed < 0.85:
                steps = rng.randint(1, 60)
                ours.decay(steps)
                for _ in range(steps):
                    theirs.decay_step()
            elif deed < 0.95:
                left = [_call(rng, str(n)) for n in range(rng.randint(1, 8))]
                ours.after_retraction(left)
                theirs.current = theirs.estimate_new_token_ratio_after_retract([_request(call) for call in left])
            else:
                ours.reset()
                theirs.reset()
            if abs(theirs.current - ours.current) > EPSILON:
                finding.differences.append(f"{i}: SGLang {theirs.current}, simulator {ours.current}")
    return finding


def retraction_orders(sequences: int, seed: int) -> Finding:
    """Whom to keep longest."""
    finding = Finding("order of retraction", sequences)
    for i in range(sequences):
        rng = random.Random(f"{seed}/retraction/{i}")
        calls = [_call(rng, str(n), most=8) for n in range(rng.randint(1, 30))]  # so few tokens that many are equal
        finding.operations += len(calls)
        with _settings(schedule_batch, "get_schedule", retraction_policy="length"):
            order = schedule_batch.ScheduleBatch._get_decode_retraction_order([_request(call) for call in calls])  # noqa: SLF001
        queues = Queues(ServerOptions(capacity_tokens=1000))
        queues.running = calls
        theirs, ours = [str(n) for n in order], [call.rid for call in queues.retraction_order()]
        if theirs != ours:
            finding.differences.append(f"{i}: SGLang {theirs}, simulator {ours}")
    return finding


class _Pool:
    """Free and evictable tokens, as both sides ask for them; what a candidate has cached is locked while it is looked at."""

    disable = False
    buffer_pipeline = None

    def __init__(self, page: int, free: int, evictable: int) -> None:
        self.page = self.page_size = page
        self.free, self.evictable = free, evictable

    def available_size(self) -> int:
        return self.free

    def evictable_size(self) -> int:
        return self.evictable

    def create_prefill_budget(self, tree_cache: object, *, num_mixed_decode_tokens: int = 0) -> PrefillBudget:
        return PrefillBudget(self, tree_cache, num_mixed_decode_tokens=num_mixed_decode_tokens)

    def request_slot_reserve(self, **_: object) -> int:
        return 0

    def supports_mamba(self) -> bool:
        return False

    def supports_prefix_sharing(self) -> bool:
        return True

    def lock(self, tokens: int) -> int:
        self.evictable -= tokens
        return tokens

    def unlock(self, tokens: int) -> None:
        self.evictable += tokens

    def finish_storage_prefetch_admission(self, *_: object, **__: object) -> None:
        pass


def budgets(sequences: int, seed: int) -> Finding:
    """Passes over random queues: who is admitted with how many tokens, until one is not."""
    finding = Finding("budget of a prefill pass", PASSES * sequences)
    for i in range(finding.sequences):
        rng = random.Random(f"{seed}/budget/{i}")
        page = rng.choice((1, 16, 64))
        sizes = [rng.randint(0, 400) * 64, rng.randint(0, 400) * 64]
        chunk, most = rng.choice((512, 2048, 8192)), rng.choice((4096, 16_384))
        long = rng.choice((100, 700, 6_000))
        running = [_call(rng, f"r{n}", most=3_000) for n in range(rng.randint(0, 6))]
        waiting = [(_call(rng, f"w{n}", most=long), rng.randint(0, 30) * 64) for n in range(30)]
        ratio = rng.uniform(0.1, 1.0)
        theirs = _their_pass(_Pool(page, *sizes), running, waiting, ratio, chunk, most)
        ours = _our_pass(_Pool(page, *sizes), running, waiting, ratio, chunk, most)
        finding.operations += len(ours)
        if theirs != ours:
            finding.differences.append(f"{i}: SGLang {theirs}, simulator {ours}")
    return finding


Waiting = list[tuple[Call, int]]  # with its cached tokens
Pass = list[tuple[str, int, str]]  # request, new tokens, verdict
VERDICTS = {AddReqResult.CONTINUE: "CONTINUE", AddReqResult.NO_TOKEN: "NO_TOKEN", AddReqResult.OTHER: "OTHER"}


def _our_pass(pool: _Pool, running: list[Call], waiting: Waiting, ratio: float, chunk: int, most: int) -> Pass:
    budget, found = Budget(pool, running, ratio, chunk, most), []
    for call, tokens in waiting:
        if budget.state() is Verdict.OTHER:
            break
        cached = min(tokens, pool.evictable // 64 * 64)
        pool.lock(cached)
        left, new = call.length, 0
        verdict = Verdict.NO_TOKEN
        if budget.fits(left, call.max_new - call.generated):
            new = budget.cut(cached, left)
            verdict = Verdict.OTHER
            if new > 0:
                budget.charge(new, call.max_new if new == left else 0)
                verdict = budget.state()
        if new <= 0:
            pool.unlock(cached)
        found.append((call.rid, max(0, new), verdict.name))
        if verdict is not Verdict.CONTINUE:
            break
    return found


def _their_pass(pool: _Pool, running: list[Call], waiting: Waiting, ratio: float, chunk: int, most: int) -> Pass:
    batch = SimpleNamespace(reqs=[_request(call) for call in running], batch_size=lambda: len(running))
    features = SimpleNamespace(enable_encoder_swa_bounded_replay=False)
    with _settings(schedule_policy, "get_exec", features=features):
        adder, found = PrefillAdder(pool.page_size, pool, pool, batch, ratio, most, chunk), []
        for call, tokens in waiting:
            if adder.budget_state() is AddReqResult.OTHER:
                break
            cached = min(tokens, pool.evictable // 64 * 64)
            request = _candidate(call, cached)
            admitted = len(adder.can_run_list)
            verdict = adder.add_one_req(request, has_chunked_req=False, truncation_align_size=None)
            new = request.extend_end - cached if len(adder.can_run_list) > admitted else 0
            found.append((call.rid, new, VERDICTS[verdict]))
            if verdict is not AddReqResult.CONTINUE:
                break
    return found


def _candidate(call: Call, cached: int) -> SimpleNamespace:
    request = _request(call)
    request.__dict__.update(
        full_untruncated_fill_ids=array("q", range(cached + call.length)),
        prefix_len=cached,
        last_node=cached,
        best_match_node=cached,
        kv=SimpleNamespace(req_pool_idx=None, holds_mamba=True),
        host_hit_length=0,
        swa_host_hit_length=0,
        mamba_host_hit_length=0,
        auxiliary_swa_host_hit_length=0,
        storage_hit_length=0,
        storage_hit_start=None,
        host_hit_is_storage=False,
        host_loaded_length=0,
        retracted_stain=False,
        cache_request_handle=None,
        extend_end=0,
        needs_host_load_back=lambda: False,
        materialized_host_hit_len=lambda: 0,
        fulfilled_storage_hit_len=lambda _prefix: 0,
        lock=None,
    )
    return request
