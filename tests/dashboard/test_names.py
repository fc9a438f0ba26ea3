import pytest
from rich.cells import cell_len

from concur_batch.dashboard.names import distinct

HOSTS = ["gpu-01.cluster.example.org:30000", "gpu-02.cluster.example.org:30000"]


@pytest.mark.parametrize(
    ("names", "cells", "shown"),
    [
        (["10.0.0.1:30000", "10.0.0.12:30000"], 16, ["10.0.0.1:30000", "10.0.0.12:30000"]),
        (["10.0.0.1:30000", "10.0.0.12:30000"], 12, ["10.0.0.1…", "10.0.0.12…"]),
        (["10.0.0.1:30000", "10.0.0.12:30000"], 6, ["…1…", "…12…"]),
        (HOSTS, 16, ["gpu-01…", "gpu-02…"]),
        (HOSTS, 6, ["…u-01…", "…u-02…"]),
        (["node.example.org:30000", "node.example.org:30001"], 16, ["…:30000", "…:30001"]),
        (["inference-of-ours-01:3", "inference-of-ours-02:3"], 12, ["…of-ours-01…", "…of-ours-02…"]),
        (["01-inference-of-ours:3", "02-inference-of-ours:3"], 12, ["01-inferenc…", "02-inferenc…"]),
        (["alone.example.org:30000"], 12, ["…e.org:30000"]),
        (["甲.機械学習.例:30000", "乙.機械学習.例:30000"], 6, ["甲…", "乙…"]),
        (["機械学習甲", "機械学習乙"], 6, ["…習甲", "…習乙"]),
    ],
)
def test_what_tells_engines_apart_stays(names, cells, shown):
    found = distinct(names, cells, "…")
    assert found == shown
    assert all(cell_len(name) <= cells for name in found)
