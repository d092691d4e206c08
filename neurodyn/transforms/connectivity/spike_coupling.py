"""Correlation of counts at a lag: how the spikes of one unit go before those of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DegenerateInputError, TimebaseError, one_of
from neurodyn.provenance import add_history
from neurodyn.recording import masked_counts, pick, results

__all__ = ["spike_coupling"]

FloatArray = NDArray[np.float64]
Kind = Literal["correlation", "partial"]


def spike_coupling(
    data: xr.DataTree | xr.Dataset,
    kind: Kind = "correlation",
    *,
    lags: Sequence[float] | None = None,
) -> xr.Dataset:
    """Return how counts of one unit go with counts of another some time later.

    ``correlation``: Pearson's r of ``y_j(t)`` and ``y_i(t + lag)``. ``partial``: the same given
    the counts ``y_k(t)`` of all other units, those of ``i`` among them; with the inverse ``P`` of
    the covariance at ``t``, the regression ``b = P cov(y(t), y_i(t + lag))`` and its residual
    variance ``s``, it is ``b_j / sqrt(b_j^2 + s P_jj)``.

    Parameters
    ----------
    data
        Kind ``counts``, ``([trial,] time, unit)``. Only bins observed in all units are paired.
    kind
        ``correlation`` or ``partial``.
    lags
        Multiples of the bin size [s], 0 or above; by default one bin.

    Returns
    -------
    xr.Dataset
        Kind ``results``, float64, from ``unit`` to ``unit_to``: ``coupling(lag, unit, unit_to)``;
        ``score(unit, unit_to)``, its value of largest size over lags; ``score_lag``, where that is
        [s]; ``direction``, ``score`` minus its transpose, above 0 where ``unit`` leads. NaN from
        a unit to itself, and for units that never change. ``n_samples(lag)``.

    Raises
    ------
    ConfigError
        For another kind or a lag that is no multiple of the bin size.
    TimebaseError
        If bins are not equally spaced.
    DegenerateInputError
        If a lag leaves no more samples than units, or the covariance has no inverse.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> first = np.random.default_rng(0).poisson(1.0, 50)
    >>> data = counts(np.stack([first, np.roll(first, 1)], axis=1), bin_size=0.005)
    >>> found = spike_coupling(data)
    >>> found["score"].values[0, 1].round(6).item(), found["score_lag"].values[0, 1].item()
    (1.0, 0.005)
    """
    one_of("kind", kind, ("correlation", "partial"))
    ds = pick(data, "counts")
    bin_size = float(ds.attrs["bin_size"])
    steps = _steps([bin_size] if lags is None else lags, bin_size)
    _check_clock(ds, bin_size)
    values = masked_counts(ds).values.astype(np.float64)
    pairs = [_pairs(values[None] if values.ndim == 2 else values, step) for step in steps]
    found = np.stack([_coupling(before, after, kind) for before, after in pairs])
    lag = np.array(steps) * bin_size
    result = _results(found, lag, ds["unit"].values, measure=kind)
    result["n_samples"] = ("lag", np.array([len(before) for before, _ in pairs]))
    return add_history(result, "spike_coupling", kind=kind, lags=lag.tolist())


def _results(
    found: FloatArray, lag: FloatArray, unit: NDArray[np.str_], *, measure: str
) -> xr.Dataset:
    """Label the couplings ``(lag, unit, unit_to)`` and choose the strongest lag of each pair."""
    pair = ("unit", "unit_to")
    # an all-NaN pair has no largest value; any lag stands for it
    best = np.abs(np.nan_to_num(found)).argmax(axis=0)
    score = np.take_along_axis(found, best[None], axis=0)[0]
    return results(
        {
            "coupling": (("lag", *pair), found),
            "score": (pair, score),
            "score_lag": (pair, np.where(np.isnan(score), np.nan, lag[best]), {"units": "s"}),
            "direction": (pair, score - score.T),
        },
        {"unit": unit, "unit_to": unit, "lag": ("lag", lag, {"units": "s"})},
        measure=measure,
    )


def _steps(lags: Sequence[float], bin_size: float) -> list[int]:
    steps = [round(lag / bin_size) for lag in lags]
    for lag, step in zip(lags, steps):
        if step < 0 or abs(lag - step * bin_size) > 1e-6 * bin_size:
            raise ConfigError(
                "a lag is no multiple of the bin size",
                found=f"{lag:g} s",
                expected=f"0 s or more, in steps of {bin_size:g} s",
                hint="a negative lag is the same pair the other way round",
            )
    if not steps:
        raise ConfigError("there is no lag", expected="one lag [s] at least")
    return steps


def _check_clock(ds: xr.Dataset, bin_size: float) -> None:
    step = np.diff(ds["time"].values)
    if step.size and not np.allclose(step, bin_size, rtol=0.0, atol=1e-3 * bin_size):
        raise TimebaseError(
            "bins are not equally spaced",
            found=f"steps from {step.min():g} to {step.max():g} s",
            expected=f"{bin_size:g} s",
            hint="keep bins that were left out, with observed=False",
        )


def _pairs(values: FloatArray, step: int) -> tuple[FloatArray, FloatArray]:
    """Return counts and those ``step`` bins later, each ``(sample, unit)``."""
    n_time, n_units = values.shape[1:]
    before, after = values[:, : max(0, n_time - step)], values[:, step:]
    before, after = before.reshape(-1, n_units), after.reshape(-1, n_units)
    known = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    if known.sum() <= n_units:
        raise DegenerateInputError(
            "too few pairs of bins for a coupling",
            found=f"{int(known.sum())} pairs at a lag of {step} bins",
            expected=f"more than the {n_units} units",
            hint="a longer recording, or shorter lags",
        )
    return before[known], after[known]


def _coupling(before: FloatArray, after: FloatArray, kind: Kind) -> FloatArray:
    """Return the coupling ``(unit, unit_to)``, NaN for units that never change."""
    changes = (before.std(axis=0) > 0) & (after.std(axis=0) > 0)
    x, y = _standardised(before[:, changes]), _standardised(after[:, changes])
    across = x.T @ y / len(x)
    if kind == "partial":
        across = _partial(x.T @ x / len(x), across)
    found = np.full((changes.size, changes.size), np.nan)
    found[np.ix_(changes, changes)] = np.clip(across, -1.0, 1.0)
    np.fill_diagonal(found, np.nan)
    return found


def _partial(within: FloatArray, across: FloatArray) -> FloatArray:
    if len(within) and np.linalg.eigvalsh(within)[0] <= 10 * len(within) * np.finfo(float).eps:
        raise DegenerateInputError(
            "counts of some units follow from those of others",
            found="a correlation matrix without an inverse",
            hint="leave repeated units out, or kind='correlation'",
        )
    inverse = np.linalg.inv(within)
    weight = inverse @ across
    residual = np.maximum(1.0 - (weight * across).sum(axis=0), 0.0)
    size = np.sqrt(weight**2 + residual * np.diag(inverse)[:, None])
    return np.asarray(np.divide(weight, size, out=np.zeros_like(weight), where=size > 0))


def _standardised(values: FloatArray) -> FloatArray:
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))
