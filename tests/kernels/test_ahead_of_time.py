"""Every kernel compiles for GPUs that are not here, and takes no more than was committed to."""

from __future__ import annotations

import pytest

pytest.importorskip("triton")

from benchmarks import kernel_resources as resources

USAGE = {"sm_90": {"scan": {"registers": 100, "shared": 4096, "stack": 0}}}


def test_no_kernel_takes_more_than_its_committed_count():
    usage = resources.measure(processes=2)
    assert resources.faults(usage, resources.read_counts()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"registers": 99}, "sm_90: scan takes 100 registers, was 99"),
        ({"shared": 0}, "sm_90: scan takes 4096 shared, was 0"),
        ({"stack": -1}, "sm_90: scan takes 0 stack, was -1"),
    ],
)
def test_a_higher_count_is_a_fault(change, message):
    known = {**USAGE["sm_90"]["scan"], **change}
    assert resources.faults(USAGE, {"sm_90": {"scan": known}}) == [message]


def test_lower_counts_pass():
    known = {"registers": 101, "shared": 4096, "stack": 8}
    assert resources.faults(USAGE, {"sm_90": {"scan": known}}) == []


def test_kernels_and_counts_name_the_same():
    assert resources.faults(USAGE, {"sm_90": {"other": {}}}) == [
        "sm_90: other is no more",
        "sm_90: scan is new",
    ]


def test_shared_memory_has_to_fit():
    large = {"sm_90": {"scan": {"registers": 1, "shared": 300_000, "stack": 0}}}
    assert resources.faults(large, large) == ["sm_90: scan wants 300000 of 232448 bytes"]


def test_written_counts_are_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "COUNTS", tmp_path / "counts.toml")
    assert resources.read_counts() == {}
    resources.write_counts(USAGE)
    counts = resources.read_counts()
    assert counts.pop("triton")
    assert counts == USAGE
    assert "scan" in resources.table(USAGE)
