"""F1 by window against scikit-learn and the published defect; correlations without noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from neurodyn.errors import DataError, DegenerateInputError
from neurodyn.metrics.generated_counts import psth_correlation, window_f1


@settings(deadline=None, max_examples=20, derandomize=True)
@given(st.integers(0, 2**31 - 1))
def test_sets_equal_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real, generated = rng.poisson(0.7, (2, 6, 8))
    found = window_f1(real, generated)
    a, b = real > 0, generated > 0
    for window in range(6):
        if a[window].any() or b[window].any():
            wanted = f1_score(a[window], b[window], zero_division=0.0)
            assert found["f1"].values[window] == pytest.approx(wanted)
    assert found["pooled_f1"].item() == pytest.approx(f1_score(a.ravel(), b.ravel()))
    for unit in range(8):
        if a[:, unit].any() or b[:, unit].any():
            wanted = f1_score(a[:, unit], b[:, unit], zero_division=0.0)
            assert found["unit_f1"].values[unit] == pytest.approx(wanted)


def test_ten_guesses_that_hold_three_right_ones_are_not_perfect() -> None:
    found = window_f1([[1, 1, 1, 0, 0, 0, 0, 0, 0, 0]], [[1] * 10])
    assert found["precision"].item() == pytest.approx(0.3)
    assert found["recall"].item() == 1.0
    assert found["f1"].item() == pytest.approx(6 / 13)


def test_multisets_count_spikes() -> None:
    found = window_f1([[3, 0, 1]], [[1, 2, 1]], multiset=True)
    assert found["precision"].item() == pytest.approx(2 / 4)
    assert found["recall"].item() == pytest.approx(2 / 4)
    assert window_f1([[3, 0]], [[1, 0]])["f1"].item() == 1.0
    assert window_f1([[3, 0]], [[1, 0]], multiset=True)["f1"].item() == pytest.approx(0.5)


def test_silence_in_both_has_no_score() -> None:
    found = window_f1([[0, 0], [1, 0]], [[0, 0], [0, 0]])
    assert np.isnan(found["f1"].values[0])
    assert found["f1"].values[1] == 0.0
    assert np.isnan(found["precision"].values[1])
    assert np.isnan(found["unit_f1"].values[1])
    assert found["pooled_f1"].item() == 0.0


def responses(
    signal: np.ndarray, n_trials: int, rng: np.random.Generator, noise: float = 2.0
) -> np.ndarray:
    return signal + noise * rng.standard_normal((n_trials, *signal.shape))


@pytest.mark.parametrize("n_trials", [4, 20])
def test_corrected_correlation_does_not_depend_on_the_number_of_trials(
    n_trials: int, rng: np.random.Generator
) -> None:
    signal = rng.standard_normal((300, 12))
    other = 0.6 * signal + 0.8 * rng.standard_normal((300, 12))
    found = psth_correlation(responses(signal, n_trials, rng), responses(other, n_trials, rng))
    assert found["noise_corrected"].mean().item() == pytest.approx(0.6, abs=0.06)
    reliability = 1 / (1 + 4 / n_trials)
    assert found["reliability"].mean().item() == pytest.approx(reliability, abs=0.04)
    assert found["correlation"].mean().item() == pytest.approx(0.6 * reliability, abs=0.05)
    assert found["ceiling"].mean().item() == pytest.approx(np.sqrt(reliability), abs=0.04)


def test_plain_correlation_is_that_of_averages(rng: np.random.Generator) -> None:
    real, generated = rng.poisson(2.0, (2, 6, 10, 3))
    condition = np.array(list("aabbaa"))
    found = psth_correlation(real, generated, condition, condition)
    averages = [
        np.concatenate([values[condition == name].mean(0) for name in "ab"])
        for values in (real, generated)
    ]
    for unit in range(3):
        wanted = np.corrcoef(averages[0][:, unit], averages[1][:, unit])[0, 1]
        assert found["correlation"].values[unit] == pytest.approx(wanted)


def test_noise_and_silence_have_no_corrected_correlation(rng: np.random.Generator) -> None:
    real = rng.standard_normal((3, 40, 30))
    real[..., 0] = 0.0
    found = psth_correlation(real, rng.standard_normal((3, 40, 30)))
    assert np.isnan(found["correlation"].values[0])
    unreliable = found["reliability"].values[1:] <= 0
    assert unreliable.any()
    assert np.isnan(found["noise_corrected"].values[1:][unreliable]).all()


def test_refuses_what_does_not_fit() -> None:
    trials = np.ones((4, 5, 2))
    with pytest.raises(DataError, match=r"do not fit each other(.|\n)*two arrays \(window, unit\)"):
        window_f1([[1]], [[1, 2]])
    with pytest.raises(DataError, match="counts are negative or not finite"):
        window_f1([[-1]], [[1]])
    with pytest.raises(DataError, match=r"trials do not fit each other(.|\n)*\(4, 4, 2\)"):
        psth_correlation(trials, trials[:, :4])
    with pytest.raises(DataError, match="real counts are not finite"):
        psth_correlation(trials * np.nan, trials)
    with pytest.raises(DataError, match=r"conditions do not fit the trials"):
        psth_correlation(trials, trials, ["a"])
    with pytest.raises(
        DataError, match=r"conditions differ(.|\n)*found: c, d(.|\n)*expected: a, b"
    ):
        psth_correlation(trials, trials, list("aabb"), list("ccdd"))
    with pytest.raises(DegenerateInputError, match=r"noise cannot be told(.|\n)*condition b"):
        psth_correlation(trials, trials, list("aaab"), list("aaab"))
