"""The lineage: what was written is what is read, whenever writing stopped."""

from __future__ import annotations

import json

import pytest

from neurodyn.errors import CheckpointMismatchError, CorruptFileError
from neurodyn.workflow.search_lineage import Fork, Lineage, run_of

ABOUT = {"estimator": "gru", "seed": 0, "versions": {"neurodyn": "1"}}
ROWS = [
    ("plan", {"trial": "0", "settings": {"a": 1}, "seed": 0}),
    ("plan", {"trial": "1", "settings": {"a": 2}, "seed": 0}),
    ("start", {"trial": "0", "until": 20}),
    ("report", {"trial": "0", "step": 10, "score": 0.5}),
    ("report", {"trial": "1", "step": 10, "score": float("nan")}),
    (
        "exploit",
        {
            "step": 10,
            "forks": [{"child": "1", "donor": "0", "old": {"a": 2}, "new": {"a": 3}}],
        },
    ),
    ("report", {"trial": "1", "step": 20, "score": 0.25}),
    ("end", {"trial": "1", "status": "finished"}),
    ("end", {"trial": "0", "status": "failed", "error": "not finite"}),
]


@pytest.fixture
def path(tmp_path):
    lineage = Lineage(tmp_path / "lineage.jsonl", ABOUT)
    for kind, values in ROWS:
        lineage.record(kind, **values)
    lineage.close()
    return lineage.path


def opened(path, about=ABOUT):
    lineage = Lineage(path, about)
    lineage.close()
    return lineage


def test_trials_are_rebuilt(path):
    lineage = opened(path, ABOUT | {"versions": {"neurodyn": "2"}})
    zero, one = lineage.trials.values()
    assert (zero.until, zero.curve, zero.status, zero.error) == (
        20,
        {10: 0.5},
        "failed",
        "not finite",
    )
    fork = Fork("1", "0", 10, {"a": 3})
    assert (one.forks, one.settings, one.run) == ([fork], {"a": 3}, run_of(fork))
    # of the weights that it has: those of the donor before it
    assert one.curve == {10: 0.5, 20: 0.25}
    assert one.is_over
    assert lineage.exploited == {10}
    assert not (path.parent / "lineage.jsonl.tmp").exists()


def test_cut_anywhere_whole_lines_are_kept(path):
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        lineage = Lineage(path, ABOUT)
        n_whole = sum(end <= cut for end in ends)
        for kind, values in ROWS[max(0, n_whole - 1) :]:
            lineage.record(kind, **values)
        lineage.close()
        assert path.read_bytes() == whole, cut


def test_another_search_is_refused(path):
    expected = (
        r"the folder holds another search \(at .*\)[\s\S]*found: seed: 0\n.*expected: seed: 1"
    )
    with pytest.raises(CheckpointMismatchError, match=expected):
        Lineage(path, ABOUT | {"seed": 1})
    with pytest.raises(CheckpointMismatchError, match="extra: absent"):
        Lineage(path, ABOUT | {"extra": 1})


@pytest.mark.parametrize(
    "row", [{"kind": "other", "trial": "0"}, {"kind": "report", "trial": "9"}, {"no": "kind"}]
)
def test_lines_that_mean_nothing(path, row):
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(CorruptFileError, match=r"not a record of a search \(at .*line 11\)"):
        Lineage(path, ABOUT)
