"""Rules on simulated trials whose scores are known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodyn.workflow.search_lineage import Trial
from neurodyn.workflow.search_rules import (
    Asha,
    PopulationBased,
    RandomSearch,
    Stretch,
    loss_until,
    rungs,
)


def trials_of(n):
    return {f"{i:02d}": Trial(f"{i:02d}", {}, 0, f"{i:02d}") for i in range(n)}


def simulate(rule, trials, score, last, n_workers=1):
    """Train as a rule says, the oldest job first to end; return what it gave out."""
    given_out, running = [], []
    while True:
        while len(running) < n_workers:
            stretch = rule.next_stretch(trials, {one.trial for one in running})
            if stretch is None:
                break
            running.append(stretch)
            given_out.append(stretch)
        if not running:
            return given_out
        name, until = running.pop(0)
        trial = trials[name]
        for step in range(trial.step + 1, until + 1):
            trial.curve[step] = score(name, step)
        if until == last:
            trial.status = "finished"


def test_random_search_trains_each_to_the_end():
    found = simulate(RandomSearch(7), trials_of(3), lambda name, step: 0.0, 7, n_workers=2)
    assert found == [("00", 7), ("01", 7), ("02", 7)]
    trials = trials_of(2)
    trials["00"].status = "failed"
    assert RandomSearch(7).next_stretch(trials, {"01"}) is None
    assert RandomSearch(7).forks(trials) is None


def test_asha_step_by_step():
    """Nine trials, the later the better, one worker: known from the algorithm in the paper."""
    found = simulate(Asha([1, 3, 9]), trials_of(9), lambda name, step: 10.0 - int(name), last=9)
    assert found == [
        ("00", 9),  # the start, in any case
        ("01", 1),
        ("02", 1),
        ("02", 3),  # best third of three
        ("03", 1),
        ("03", 3),  # best third of four, although 02 went before
        ("03", 9),  # best third of the three at step 3: the start, 02 and this one
        ("04", 1),
        ("04", 3),
        ("04", 9),
        ("05", 1),
        ("05", 3),
        ("05", 9),
        ("06", 1),
        ("06", 3),
        ("06", 9),
        ("07", 1),
        ("07", 3),
        ("07", 9),
        ("08", 1),
        ("08", 3),
        ("08", 9),
    ]


@given(
    order=st.integers(2, 20).flatmap(lambda n: st.permutations(range(n))),
    n_workers=st.integers(1, 4),
    mode=st.sampled_from(["min", "max"]),
)
def test_asha_never_loses_the_best(order, n_workers, mode):
    trials, sign = trials_of(len(order)), 1 if mode == "min" else -1
    rule = Asha([2, 5, 11], mode=mode)
    simulate(rule, trials, lambda name, step: sign * float(order[int(name)]), 11, n_workers)
    finished = {name for name, trial in trials.items() if trial.status == "finished"}
    best = f"{order.index(0):02d}"
    assert {"00", best} <= finished
    assert all(trial.step in (2, 5, 11) for trial in trials.values())


def test_asha_spends_less_when_good_trials_come_early():
    trials = trials_of(16)
    found = simulate(Asha([100, 300, 1000]), trials, lambda name, step: float(name), 1000)
    assert sum(trial.step for trial in trials.values()) < 0.35 * 16 * 1000
    assert len(found) < 26


def test_asha_passes_over_failed_trials_and_waits_for_running_ones():
    trials, rule = trials_of(3), Asha([1, 3])
    trials["00"].status = "finished"
    trials["01"].status = "failed"
    assert rule.next_stretch(trials, {"02"}) is None
    assert rule.next_stretch(trials, set()) == Stretch("02", 1)
    trials["02"].curve[1] = math.nan
    # the last one left goes on
    assert rule.next_stretch(trials, set()) == Stretch("02", 3)
    assert rule.forks(trials) is None


SPACE = {"rate": (1e-3, 1e-2), "size": (8, 16, 32), "kind": ("a", "b")}


def population(n, step=10):
    trials = trials_of(n)
    for index, trial in enumerate(trials.values()):
        trial.settings = {"rate": 5e-3, "size": 16, "kind": "a"}
        trial.curve = {step: float(index)}
    return trials


def test_a_population_trains_side_by_side():
    rule = PopulationBased(25, 10, SPACE)
    found = simulate(rule, trials_of(3), lambda name, step: 0.0, 25, n_workers=2)
    assert [until for _, until in found] == [10, 10, 10, 20, 20, 20, 25, 25, 25]
    done = trials_of(2)
    for trial in done.values():
        trial.status = "failed"
    assert rule.next_stretch(done, set()) is None
    assert rule.forks(done) is None


def test_the_worst_quarter_goes_on_from_the_best():
    step, forks = PopulationBased(100, 10, SPACE, seed=3).forks(population(8))
    assert step == 10
    assert [one.child for one in forks] == ["06", "07"]
    assert {one.donor for one in forks} <= {"00", "01"}
    for one in forks:
        assert one.settings["rate"] in (0.004, 0.00625)
        assert one.settings["size"] in (8, 32)
        assert one.settings["kind"] in ("a", "b")
    again = PopulationBased(100, 10, SPACE, seed=3).forks(population(8))
    assert again == (step, forks)
    (_, upside_down) = PopulationBased(100, 10, SPACE, mode="max").forks(population(8))
    assert {one.child for one in upside_down} == {"00", "01"}


def test_settings_stay_within_their_values():
    rule = PopulationBased(100, 10, SPACE)
    trials = population(2)
    trials["00"].settings = {"rate": 1e-2, "size": 32, "kind": "odd"}
    seen = set()
    for seed in range(20):
        (_, (fork,)) = PopulationBased(100, 10, SPACE, seed=seed).forks(trials)
        seen.add(tuple(fork.settings.values()))
    rates, sizes, kinds = map(set, zip(*seen))
    assert rates == {0.01, 0.008}
    assert sizes == {16, 32}
    assert kinds == {"a", "b"}
    assert rule.forks(trials) is not None


@pytest.mark.parametrize("change", ["behind", "odd step", "end", "alone"])
def test_exchanges_that_are_not_due(change):
    trials = population(3, step=15 if change == "odd step" else 100 if change == "end" else 10)
    if change == "behind":
        trials["01"].curve[20] = 0.0
    if change == "alone":
        trials["00"].status = trials["01"].status = "failed"
    assert PopulationBased(100, 10, SPACE).forks(trials) is None


def test_rungs():
    assert rungs(900, 10) == [10, 30, 100, 300, 900]
    assert rungs(1000, 100, reduction=4) == [200, 1000]
    assert rungs(1, 1) == [1]


def test_the_best_score_up_to_a_step():
    trial = Trial("00", {}, 0, "00", curve={1: 3.0, 2: math.nan, 3: 2.0})
    assert [loss_until(trial, step, "min") for step in (0, 2, 3)] == [math.inf, 3.0, 2.0]
    assert loss_until(trial, 3, "max") == -3.0
