"""Coupling at a lag against residuals of regressions, known delays and numpy's correlation."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn.errors import ConfigError, DegenerateInputError, TimebaseError
from neurodyn.recording import counts
from neurodyn.transforms.connectivity.spike_coupling import spike_coupling


@pytest.fixture
def count(rng: np.random.Generator) -> np.ndarray:
    """Unit 0 drives 1 after two bins, and a common input drives 2 and 3."""
    n = 1500
    plain = rng.poisson(0.3, (n, 4))
    plain[2:, 1] += rng.binomial(plain[:-2, 0], 0.7)
    common = rng.poisson(0.3, n)
    plain[:, 2:] += common[:, None]
    return plain


def test_correlation_is_that_of_shifted_counts(count: np.ndarray) -> None:
    found = spike_coupling(counts(count, bin_size=0.01), lags=[0.0, 0.02])
    for row, lag in enumerate((0, 2)):
        wanted = np.corrcoef(count[: len(count) - lag].T, count[lag:].T)[:4, 4:]
        np.fill_diagonal(wanted, np.nan)
        assert np.allclose(found["coupling"][row], wanted, equal_nan=True)
    assert found["n_samples"].values.tolist() == [1500, 1498]


def test_partial_correlation_is_that_of_residuals(count: np.ndarray) -> None:
    found = spike_coupling(counts(count, bin_size=0.01), "partial", lags=[0.02])["coupling"][0]
    before, after = count[:-2].astype(float), count[2:].astype(float)
    for unit in range(4):
        others = np.column_stack([np.ones(len(before)), np.delete(before, unit, axis=1)])

        def residual(values: np.ndarray, others: np.ndarray = others) -> np.ndarray:
            return values - others @ np.linalg.lstsq(others, values, rcond=None)[0]

        for to in set(range(4)) - {unit}:
            wanted = np.corrcoef(residual(before[:, unit]), residual(after[:, to]))[0, 1]
            assert found.values[unit, to] == pytest.approx(wanted, abs=1e-10)


def test_delay_and_direction_are_found(count: np.ndarray) -> None:
    found = spike_coupling(counts(count, bin_size=0.01), lags=[0.01, 0.02, 0.03])
    assert found["score"].values[0, 1] > 0.4
    assert found["score_lag"].values[0, 1] == pytest.approx(0.02)
    assert found["direction"].values[0, 1] > 0.3
    direction = found["direction"].values
    assert np.allclose(direction, -direction.T, equal_nan=True)
    assert abs(found["score"].values[2, 3]) < 0.1
    assert np.isnan(np.diag(found["score"])).all()


def test_given_the_others_a_relay_explains_the_indirect_edge(rng: np.random.Generator) -> None:
    """0 drives 1 a bin later, 1 drives 2 a bin later: 0 leads 2 by two, and not by one."""
    count = rng.poisson(0.3, (3000, 3))
    count[1:, 1] = rng.binomial(count[:-1, 0], 0.8) + rng.poisson(0.05, 2999)
    noisy = np.roll(count[:, 1], 1)
    count[:, 2] = rng.binomial(noisy, 0.8) + rng.poisson(0.05, 3000)
    # slow common drift makes plain correlations of everything with everything
    count += rng.poisson(np.repeat(rng.gamma(1.0, 0.2, 60), 50))[:, None]
    plain, partial = (
        spike_coupling(counts(count, bin_size=0.01), kind)["score"].values
        for kind in ("correlation", "partial")
    )
    assert plain[0, 1] > plain[2, 0]
    assert partial[0, 1] > partial[0, 2] + 0.2
    assert plain[0, 2] / plain[0, 1] > partial[0, 2] / partial[0, 1]


def test_pairs_stay_within_trials_and_what_was_observed(rng: np.random.Generator) -> None:
    count = rng.poisson(1.0, (5, 20, 2))
    found = spike_coupling(counts(count, bin_size=0.01))
    before, after = count[:, :-1].reshape(-1, 2), count[:, 1:].reshape(-1, 2)
    wanted = np.corrcoef(before.T, after.T)[:2, 2:]
    assert found["n_samples"].item() == 95
    assert found["score"].values[0, 1] == pytest.approx(wanted[0, 1])
    observed = np.ones(20, dtype=bool)
    observed[7] = False
    masked = spike_coupling(counts(count[0], bin_size=0.01, observed=observed))
    assert masked["n_samples"].item() == 17


def test_a_unit_that_never_changes_has_no_coupling(count: np.ndarray) -> None:
    count[:, 3] = 0
    for kind in ("correlation", "partial"):
        score = spike_coupling(counts(count, bin_size=0.01), kind)["score"].values
        assert np.isnan(score[3]).all()
        assert np.isnan(score[:, 3]).all()
        assert np.isfinite(score[0, 1:3]).all()


def test_refuses_what_does_not_fit(count: np.ndarray) -> None:
    data = counts(count, bin_size=0.01)
    with pytest.raises(ConfigError, match=r"invalid value for kind(.|\n)*'partial'"):
        spike_coupling(data, "granger")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"a lag is no multiple of the bin size(.|\n)*0\.015 s"):
        spike_coupling(data, lags=[0.015])
    with pytest.raises(ConfigError, match=r"no multiple(.|\n)*the other way round"):
        spike_coupling(data, lags=[-0.01])
    with pytest.raises(ConfigError, match="there is no lag"):
        spike_coupling(data, lags=[])
    with pytest.raises(TimebaseError, match="bins are not equally spaced"):
        spike_coupling(data.isel(time=[0, 1, 2, 5, 6, 7, 8, 9]))
    with pytest.raises(DegenerateInputError, match=r"too few pairs of bins(.|\n)*4 pairs"):
        spike_coupling(data.isel(time=slice(5)))
    copied = counts(count[:, [0, 0]], bin_size=0.01)
    with pytest.raises(DegenerateInputError, match="follow from those of others"):
        spike_coupling(copied, "partial")
