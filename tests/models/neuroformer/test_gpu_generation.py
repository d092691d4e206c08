"""The benchmark of generation runs to its end on a CPU, where nothing is captured."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from benchmarks.gpu import generation


def test_all_ways_to_generate_run_and_agree():
    rows = generation.run(torch.device("cpu"), tiny=True)
    assert [row["error"] for row in rows if "error" in row] == []
    check, *times = rows
    assert set(check["errors"].values()) == {0.0}
    assert [row["version"] for row in times] == ["ours", "eager", "growing", "plain of 1"]
    assert all(row["tokens_per_s"] > 0 for row in times)


def test_every_window_has_as_many_tokens_as_are_counted():
    device, size = torch.device("cpu"), generation.Size("small", 3)
    torch.manual_seed(0)
    network = generation.made(size, device)
    batch = generation.windows(network, 3, 10, device)
    for version in (generation.graph, generation.eager, generation.growing):
        unit = version(network, device)(batch).unit
        assert (unit >= 3).sum(1).tolist() == 3 * [generation.N_SPIKES]
    assert (generation.plain(network, device)(batch) >= 3).sum() >= generation.N_SPIKES
