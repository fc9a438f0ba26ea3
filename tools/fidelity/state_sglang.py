"""SGLang's own prefix caches, told of the same requests. Runs in SGLang's environment only.

Slots of the pool are numbered by what they hold: equal texts up to a token, equal slots. So what a cache frees says which
tokens it has evicted, and copies of what it holds already are the same slots.
"""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import torch
from sglang.srt.mem_cache.base_prefix_cache import EvictParams, MatchPrefixParams
from sglang.srt.mem_cache.cache_init_params import CacheInitParams
from sglang.srt.mem_cache.radix_cache import RadixCache, RadixKey
from sglang.srt.mem_cache.unified_cache.component_type import ComponentType
from sglang.srt.mem_cache.unified_radix_cache import UnifiedRadixCache

LONGEST = 4096  # tokens of a request


class Slots:
    """In the place of the allocator: numbers slots, and keeps which were freed."""

    device = "cpu"

    def __init__(self, page: int) -> None:
        self.page_size = page
        self.freed: list[int] = []
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def of(self, text: str) -> list[int]:
        """The slots of all its tokens."""
        found = []
        for i in range(1, len(text) + 1):
            upto = text[:i]
            if upto not in self._numbers:
                self._numbers[upto] = len(self.texts)
                self.texts.append(upto)
            found.append(self._numbers[upto])
        return found

    def free_segment(self, slots: torch.Tensor, *, start_pos: int) -> None:  # noqa: ARG002 - SGLang's signature
        """These are free again."""
        self.freed += slots.tolist()

    free = free_segment


class Rows:
    """In the place of `ReqToTokenPool`: the slots of each request."""

    def __init__(self, requests: int) -> None:
        self.req_to_token = torch.zeros((requests, LONGEST), dtype=torch.int64)

    def write(self, where: Any, slots: torch.Tensor) -> None:
        """These are the slots there now."""
        self.req_to_token[where] = slots


class Theirs:
    """One of SGLang's caches; `kind`: radix, unified-python or unified-rust."""

    def __init__(self, kind: str, page: int, requests: int, *, sessions: bool) -> None:
        self.name = kind
        self._slots, self._rows = Slots(page), Rows(requests)
        self._requests: dict[str, SimpleNamespace] = {}
        if kind == "radix":
            self._cache = RadixCache.create_simulated(mock_allocator=self._slots, page_size=page)
            self._cache.req_to_token_pool = self._rows
        else:
            self._cache = UnifiedRadixCache(
                CacheInitParams(
                    disable=False,
                    req_to_token_pool=self._rows,
                    token_to_kv_pool_allocator=self._slots,
                    page_size=page,
                    tree_components=(ComponentType.FULL,),
                    tree_core_backend=kind.removeprefix("unified-"),
                    enable_session_radix_cache=sessions,
                )
            )

    def admit(self, rid: str, prompt: str, output: str, session: str | None) -> int:
        """A request comes, and is admitted; returns its cached tokens."""
        request = SimpleNamespace(
            rid=rid,
            text=prompt,
            prefilled=0,
            output=output,
            origin_input_ids=_ids(prompt),
            full_untruncated_fill_ids=_ids(prompt),
            extra_key=None,
            cache_salt=None,
            priority=0,
            lock=None,
            last_node=None,
            session=None,
            session_id=session,
            session_generation=self._cache.ensure_session_generation(session) if session is not None else None,
            kv_rotation_base=None,
            finished_reason=None,
            finished=lambda: request.finished_reason is not None,
            kv=SimpleNamespace(
                req_pool_idx=len(self._requests), cache_protected_len=0, cache_inserted_len=0, swa_evict_floor=0, holds_kv=True
            ),
        )
        self._requests[rid] = request
        return self.again(rid)

    def again(self, rid: str) -> int:
        """A request that was retracted is admitted again; returns its cached tokens."""
        request = self._requests[rid]
        request.full_untruncated_fill_ids = _ids(request.text)
        found = self._cache.match_prefix(MatchPrefixParams(key=RadixKey(_ids(request.text[:-1]))))
        request.last_node, request.prefilled = found.last_device_node, found.device_prefix_len
        request.lock = self._cache.lock(request.last_node)
        request.kv.cache_protected_len = found.device_prefix_len
        request.kv.cache_inserted_len = 0
        return found.device_prefix_len

    def prefill(self, rid: str, tokens: int) -> None:
        """So many more of its tokens have been computed."""
        request = self._requests[rid]
        request.prefilled += tokens
        self._keep(request, request.prefilled)
        if request.prefilled == len(request.text):
            self.decode(rid, 1)

    def _keep(self, request: SimpleNamespace, upto: int) -> None:
        row = self._slots.of(request.text[:upto])
        self._rows.req_to_token[request.kv.req_pool_idx, :upto] = torch.tensor(row)
        self._cache.checkpoint(request, up_to=upto)

    def decode(self, rid: str, tokens: int) -> None:
        """It generates so many."""
        request = self._requests[rid]
        said = len(request.text) - len(request.origin_input_ids)
        request.text += request.output[said : said + tokens]

    def finish(self, rid: str) -> None:
        """It has ended (`release_kv_cache`)."""
        request = self._requests[rid]
        request.finished_reason = "done"
        request.full_untruncated_fill_ids = _ids(request.text)
        self._keep(request, len(request.text) - 1)
        self._cache.unlock(request.lock)

    def retract(self, rid: str) -> None:
        """It loses its KV."""
        self._cache.unlock(self._requests[rid].lock)

    def touch(self, text: str) -> None:
        """As a waiting request's prefix is."""
        self._cache.touch_prefix(RadixKey(_ids(text)))

    def close(self, session: str) -> None:
        """Its KV is dead."""
        self._cache.release_radix_session(session)

    def evict(self, tokens: int) -> list[str]:
        """Every token that goes, in order, each told by the text up to it."""
        self._slots.freed = []
        self._cache.evict(EvictParams(num_tokens=tokens))
        return [self._slots.texts[slot] for slot in self._slots.freed]

    def sizes(self) -> tuple[int, int]:
        """Evictable and protected tokens."""
        return self._cache.evictable_size(), self._cache.protected_size()


def _ids(text: str) -> array[int]:
    return array("q", map(ord, text))
