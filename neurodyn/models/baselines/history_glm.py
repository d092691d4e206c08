"""Poisson regression of every unit on the recent spikes of all units: history and coupling.

The model that a generator of spikes has to beat: it sees the same past and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.config import assign
from neurodyn.errors import ConfigError, DataError, DegenerateInputError, EmptySelectionError
from neurodyn.metrics.spikes import LEAST_EXPECTED_COUNT, nll_per_bin
from neurodyn.models.baselines.poisson_regression import PSEUDO_COUNT
from neurodyn.models.baselines.poisson_ridge import fit_poisson_ridge
from neurodyn.models.baselines.spike_history import raised_cosines, spike_history
from neurodyn.recording import masked_counts, pick, results

__all__ = [
    "HistoryGLM",
    "HistoryGLMConfig",
    "fit_history_glm",
    "predict_history_glm",
    "score_history_glm",
]

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class HistoryGLMConfig:
    """Settings of :func:`fit_history_glm`.

    Parameters
    ----------
    history
        How far back the past reaches [s].
    n_bases
        Raised cosines that the past of each unit is seen through.
    coupling
        Whether a unit sees the past of the others besides its own.
    penalties
        Ridge penalties, one of which is chosen for each unit; on features of unit variance.
    validation
        Last share of the training bins, on which penalties are chosen.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> HistoryGLMConfig(coupling=False).history
    0.25
    """

    history: float = 0.25
    n_bases: int = 4
    coupling: bool = True
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    validation: float = 0.2

    def __post_init__(self) -> None:
        if self.history <= 0 or self.n_bases < 1:
            raise ConfigError(
                "history and n_bases must be above 0",
                found=f"history={self.history}, n_bases={self.n_bases}",
            )
        if not self.penalties or min(self.penalties) < 0 or not 0.0 < self.validation < 1.0:
            raise ConfigError(
                "penalties or validation is out of range",
                found=f"penalties={self.penalties}, validation={self.validation}",
                expected="at least one penalty, none negative, and 0 < validation < 1",
            )


@dataclass(frozen=True, eq=False)
class HistoryGLM:
    """A fitted model.

    Parameters
    ----------
    weight, intercept
        Of the features, ``(unit, basis, unit_to)``, and of each unit: the log expected count.
    basis
        Raised cosines, shape ``(lag, basis)``; the first lag is the bin before.
    penalty
        That was chosen for each unit.
    null_expected_count
        Mean count of each unit in the training bins: the null model of the score.
    largest_count
        Of each unit in a training bin, at least 1: no more is ever expected. An exponential of a
        past unlike any in training would else have no bound.
    unit, bin_size
        Labels, and width of the bins [s].
    """

    weight: FloatArray
    intercept: FloatArray
    basis: FloatArray
    penalty: FloatArray
    null_expected_count: FloatArray
    largest_count: FloatArray
    unit: NDArray[Any]
    bin_size: float


def fit_history_glm(
    counts: xr.DataTree | xr.Dataset,
    train: ArrayLike | None = None,
    config: HistoryGLMConfig | None = None,
    **settings: Any,
) -> HistoryGLM:
    """Fit the expected count of every unit to the counts in earlier bins.

    ``log r_i(t) = b_i + sum_jk w_jki sum_l basis_k(l) y_j(t - l)``, lags of one bin and more, a
    Poisson likelihood and a ridge on ``w`` after scaling the features to unit variance. The
    penalty of each unit is chosen inside the training bins, see
    :func:`neurodyn.models.baselines.poisson_ridge.fit_poisson_ridge`. What lies before the record
    or was not observed counts as no spikes in the past, and is never a target.

    Parameters
    ----------
    counts
        Kind ``counts``, dims ``(time, unit)``.
    train
        Mask or positions of the bins that may be targets; all if not given. Bins beside a test
        block see its counts as their past: leave a gap as long as ``history`` if that matters.
    config, **settings
        Settings, and single ones such as ``history=0.1``.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.
    DataError
        If counts have trials, or the mask does not fit the bins.
    EmptySelectionError
        If there is no observed training bin.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> count = np.random.default_rng(0).poisson(0.5, (400, 2))
    >>> model = fit_history_glm(counts(count, bin_size=0.025), range(300))
    >>> model.weight.shape
    (2, 4, 2)
    """
    config = assign(config or HistoryGLMConfig(), settings)
    ds = _checked(counts)
    values = masked_counts(ds).values.astype(np.float64)
    rows = np.flatnonzero(_bins(train, len(values)) & np.isfinite(values).any(axis=1))
    if rows.size < 2:
        raise EmptySelectionError(
            "no observed bins to train on", found=int(rows.size), expected="two bins at least"
        )
    return _fit(values, rows, ds["unit"].values, float(ds.attrs["bin_size"]), config)


def predict_history_glm(model: HistoryGLM, counts: xr.DataTree | xr.Dataset) -> xr.Dataset:
    """Return the rate of every unit in every bin given all spikes before it.

    Parameters
    ----------
    model
        Of :func:`fit_history_glm`.
    counts
        Kind ``counts``, dims ``(time, unit)``, with the units and bins of the model.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``rate(time, unit)`` and ``log_rate(time, unit)`` [spikes/s].

    Raises
    ------
    DataError
        If units or bin size differ from those of the model.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> data = counts(np.random.default_rng(0).poisson(0.5, (400, 2)), bin_size=0.025)
    >>> predict_history_glm(fit_history_glm(data), data)["rate"].dims
    ('time', 'unit')
    """
    ds = _fitting(model, counts)
    log_rate = _log_expected(model, ds) - np.log(model.bin_size)
    dims = ("time", "unit")
    units = {"units": "spikes/s"}
    return results(
        {"rate": (dims, np.exp(log_rate), units), "log_rate": (dims, log_rate)},
        {"time": ds["time"].variable, "unit": ds["unit"].values},
        bin_size=model.bin_size,
    )


def score_history_glm(
    model: HistoryGLM, counts: xr.DataTree | xr.Dataset, test: ArrayLike | None = None
) -> xr.Dataset:
    """Return bits per spike over a Poisson null of the rates in training.

    ``(NLL(null) - NLL(model)) / (spikes log 2)``, exact: each bin given all before it. The null
    is not fitted to the test bins, so the score of a model that learned nothing is below 0 where
    rates drift, as it is for any other model with this null.

    Parameters
    ----------
    model, counts
        As in :func:`predict_history_glm`.
    test
        Mask or positions of the bins to score; all if not given.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``bits_per_spike()``, pooled over units, ``unit_bits_per_spike(unit)``,
        NaN without a spike, and ``n_spikes(unit)``.

    Raises
    ------
    DataError
        As :func:`predict_history_glm`, or if the mask does not fit the bins.
    DegenerateInputError
        If the test bins hold no spike.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> data = counts(np.tile([[1, 0], [0, 1]], (200, 1)), bin_size=0.025)
    >>> model = fit_history_glm(data, range(300), penalties=(1e-4,))
    >>> bool(score_history_glm(model, data, range(300, 400))["bits_per_spike"] > 0.4)
    True
    """
    ds = _fitting(model, counts)
    chosen = _bins(test, ds.sizes["time"])
    count = masked_counts(ds).values.astype(np.float64)[chosen]
    expected = np.exp(_log_expected(model, ds)[chosen])
    null = np.broadcast_to(
        np.maximum(model.null_expected_count, LEAST_EXPECTED_COUNT), expected.shape
    )
    gain = np.nansum(nll_per_bin(null, count) - nll_per_bin(expected, count), axis=0)
    n_spikes = np.nansum(count, axis=0)
    if not n_spikes.sum():
        raise DegenerateInputError("bits per spike need spikes", found="no observed spike")
    bits = np.full(n_spikes.shape, np.nan)
    np.divide(gain, n_spikes * np.log(2.0), out=bits, where=n_spikes > 0)
    return results(
        {
            "bits_per_spike": float(gain.sum() / n_spikes.sum() / np.log(2.0)),
            "unit_bits_per_spike": ("unit", bits),
            "n_spikes": ("unit", n_spikes.astype(np.int64)),
        },
        {"unit": model.unit},
    )


def _fit(
    values: FloatArray,
    rows: NDArray[np.int64],
    unit: NDArray[Any],
    bin_size: float,
    config: HistoryGLMConfig,
) -> HistoryGLM:
    """Fit the chosen rows of counts ``(time, unit)``."""
    basis = raised_cosines(max(1, round(config.history / bin_size)), config.n_bases)
    features, target = spike_history(values, basis)[rows], values[rows]
    n_units, n_bases = target.shape[1], basis.shape[1]
    weight, intercept = np.zeros((features.shape[1], n_units)), np.empty(n_units)
    penalty = np.empty(n_units)
    for columns, units in _groups(n_units, n_bases, config.coupling):
        found = fit_poisson_ridge(
            features[:, columns], target[:, units], config.penalties, validation=config.validation
        )
        weight[columns, units], intercept[units] = found.readout
        penalty[units] = found.penalty
    return HistoryGLM(
        weight=weight.reshape(n_units, n_bases, n_units),
        intercept=intercept,
        basis=basis,
        penalty=penalty,
        null_expected_count=_mean_count(target),
        largest_count=np.maximum(np.nan_to_num(target).max(axis=0), 1.0),
        unit=unit,
        bin_size=bin_size,
    )


def _groups(n_units: int, n_bases: int, coupling: bool) -> list[tuple[slice, slice]]:
    """Return which features are seen by which units."""
    if coupling:
        return [(slice(None), slice(None))]
    return [
        (slice(unit * n_bases, (unit + 1) * n_bases), slice(unit, unit + 1))
        for unit in range(n_units)
    ]


def _mean_count(target: FloatArray) -> FloatArray:
    n_observed = np.isfinite(target).sum(axis=0)
    return np.asarray((np.nansum(target, axis=0) + PSEUDO_COUNT) / np.maximum(n_observed, 1))


def _log_expected(model: HistoryGLM, ds: xr.Dataset) -> FloatArray:
    values = masked_counts(ds).values.astype(np.float64)
    weight = model.weight.reshape(-1, model.unit.size)
    log_expected = spike_history(values, model.basis) @ weight + model.intercept
    return np.asarray(np.minimum(log_expected, np.log(model.largest_count)))


def _checked(counts: xr.DataTree | xr.Dataset) -> xr.Dataset:
    ds = pick(counts, "counts")
    if "trial" in ds["count"].dims:
        raise DataError(
            "a history GLM needs counts in one row of time",
            found=f"dims {tuple(map(str, ds['count'].dims))}",
            expected="('time', 'unit')",
            hint="bin_spikes(recording, bin_size): bins between trials stay unobserved",
        )
    return ds


def _fitting(model: HistoryGLM, counts: xr.DataTree | xr.Dataset) -> xr.Dataset:
    ds = _checked(counts)
    if not np.array_equal(ds["unit"].values, model.unit):
        raise DataError(
            "the units are not those of the model",
            found=f"{ds.sizes['unit']} units",
            expected=f"the {model.unit.size} units of the fit, in the same order",
        )
    if not np.isclose(ds.attrs["bin_size"], model.bin_size):
        raise DataError(
            "the bin size is not that of the model",
            found=f"{ds.attrs['bin_size']} s",
            expected=f"{model.bin_size} s",
        )
    return ds


def _bins(chosen: ArrayLike | None, n_bins: int) -> Mask:
    """Return a mask of bins from a mask or positions."""
    if chosen is None:
        return np.ones(n_bins, dtype=bool)
    given = np.asarray(chosen)
    if given.dtype == bool and given.shape == (n_bins,):
        return given
    whole = given.ndim == 1 and (given.dtype.kind in "iu" or not given.size)
    if not whole or (given.size and not 0 <= given.min() <= given.max() < n_bins):
        raise DataError(
            "the chosen bins do not fit the counts",
            found=f"{given.dtype} of shape {given.shape}",
            expected=f"a mask of {n_bins} bins, or positions below {n_bins}",
        )
    mask = np.zeros(n_bins, dtype=bool)
    mask[given.astype(np.int64)] = True
    return mask
