from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.training.config import TrainingConfig
from neurodyn.training.schedules import Monitor, learning_rate

quick = settings(deadline=None, max_examples=50, derandomize=True)


def test_constant_after_a_linear_warm_up():
    training = TrainingConfig(learning_rate=0.2, warmup_steps=4)
    rates = [learning_rate(training, step) for step in range(6)]
    assert rates == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.2])


@quick
@given(st.integers(2, 500), st.data())
def test_cosine_falls_from_full_to_minimum(n_steps, data):
    warmup = data.draw(st.integers(0, n_steps - 1))
    training = TrainingConfig(
        learning_rate=1.0,
        minimum_learning_rate=0.1,
        schedule="cosine",
        n_steps=n_steps,
        warmup_steps=warmup,
    )
    rates = [learning_rate(training, step) for step in range(warmup, n_steps + 1)]
    assert rates[0] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(rates))
    assert learning_rate(training, n_steps + 5) == pytest.approx(0.1)


def test_plateau_reduces_down_to_the_minimum():
    training = TrainingConfig(
        learning_rate=1.0, minimum_learning_rate=0.2, schedule="plateau", plateau_factor=0.5
    )
    assert [learning_rate(training, 7, n) for n in range(4)] == [1.0, 0.5, 0.25, 0.2]


def test_reductions_come_after_each_stretch_without_improvement():
    monitor = Monitor(TrainingConfig(plateau_patience=2))
    for step, score in enumerate([5.0, 6.0, 6.0, 6.0, 6.0, 4.0, 4.0, 4.0]):
        monitor.update(score, step)
    assert monitor.n_reductions == 3
    assert (monitor.best_score, monitor.best_step, monitor.n_since_best) == (4.0, 5, 2)
    assert not monitor.exhausted


@quick
@given(st.lists(st.floats(allow_infinity=True), max_size=20), st.sampled_from(["min", "max"]))
def test_best_is_the_first_extreme_and_the_state_carries_on(scores, mode):
    training = TrainingConfig(monitor_mode=mode, patience=3)
    whole, resumed = Monitor(training), Monitor(training)
    for step, score in enumerate(scores):
        expected = whole.update(score, step)
        assert resumed.update(score, step) == expected
        fresh = Monitor(training)
        fresh.load_state_dict(json.loads(json.dumps(resumed.state_dict())))
        resumed = fresh
    numbers = [score for score in scores if not math.isnan(score)]
    best = (min if mode == "min" else max)(numbers, default=None)
    assert whole.best_score == resumed.best_score == best
    assert whole.exhausted == resumed.exhausted == (whole.n_since_best >= 3)
    if best is not None:
        assert whole.best_step == scores.index(best)
