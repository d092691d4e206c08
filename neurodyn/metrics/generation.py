"""Whether generated spikes have the statistics of recorded ones, once a model runs by itself.

Generated and recorded trials need not be aligned: what is compared are rates, correlations,
interspike intervals, population counts and autocorrelation. The same comparison between two
halves of the recording is the ceiling.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.recording import masked_counts, pick, results
from neurodyn.transforms.binning import bin_spikes
from neurodyn.transforms.observation import observation_intervals

__all__ = ["compare_generated", "spike_statistics"]

FloatArray = NDArray[np.float64]
# of a bin of the histogram that is empty in one recording, in recorded bins
PSEUDO_COUNT = 0.5


def spike_statistics(
    data: xr.DataTree | xr.Dataset, *, bin_size: float | None = None, max_lag: float = 0.2
) -> xr.Dataset:
    """Return the statistics of spikes that :func:`compare_generated` compares.

    Parameters
    ----------
    data
        Kind ``spikes``, or ``counts`` with dims ``([trial,] time, unit)``; of a recording, its
        spikes if it has any. Interspike intervals of counts are between left edges of bins, 0
        within one, and never span trials or what was not observed.
    bin_size
        Bins of everything but intervals [s]; 20 ms by default, for counts their own.
    max_lag
        Longest lag of the autocorrelation [s], at least a bin.

    Returns
    -------
    xr.Dataset
        Kind ``results``, float64: ``rate(unit)`` [spikes/s]; ``isi_mean(unit)`` and
        ``isi_sd(unit)`` [s], NaN with fewer than two intervals; ``correlation(unit, unit_to)``
        of counts at lag 0, NaN on the diagonal and for units that never change;
        ``population_bins(n_spikes)``, how many bins hold that many spikes of all units;
        ``autocorrelation(unit, lag)`` of counts.

    Raises
    ------
    ConfigError
        If ``bin_size`` differs from that of counts, or ``max_lag`` is below a bin.
    DegenerateInputError
        If fewer than two bins were observed in all units.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.01, 0.11, 0.31]}, observed=[[0.0, 1.0]])
    >>> found = spike_statistics(spikes)
    >>> found["rate"].item(), round(found["isi_mean"].item(), 6)
    (3.0, 0.15)
    """
    counts, spikes = _counts(data, bin_size)
    width = float(counts.attrs["bin_size"])
    if max_lag < width:
        raise ConfigError("max_lag is below a bin", found=max_lag, expected=f"{width:g} s or more")
    values = masked_counts(counts).values.astype(np.float64)
    values = values[None] if values.ndim == 2 else values
    gaps = _gaps_of_counts(values, width) if spikes is None else _gaps_of_spikes(spikes)
    return _statistics(values, gaps, counts["unit"].values, width, max_lag)


def compare_generated(
    real: xr.DataTree | xr.Dataset,
    generated: xr.DataTree | xr.Dataset,
    *,
    bin_size: float | None = None,
    max_lag: float = 0.2,
) -> xr.Dataset:
    """Return how far the statistics of generated spikes are from those of recorded ones.

    Parameters
    ----------
    real, generated
        As in :func:`spike_statistics`, with the same units.
    bin_size, max_lag
        As in :func:`spike_statistics`. If one of the two is counts, their bins are used for both.

    Returns
    -------
    xr.Dataset
        Kind ``results``, all 0 for equal statistics. ``rate_error``, the mean over units of
        ``|generated / real - 1|``, and ``rate_ratio`` of all spikes (1 for equal);
        ``correlation_rmse`` over pairs; ``isi_mean_error`` and ``isi_sd_error``, means over units
        of ``|generated - real|`` [s]; ``population_kl``, the divergence of the histograms of
        population counts from real to generated [nats], with half a bin added to every count that
        either shows; ``autocorrelation_rmse`` over units and lags. ``n_compared(statistic)``
        tells how many units, or pairs, have both values.

    Raises
    ------
    DataError
        If the units or bins differ.
    ConfigError, DegenerateInputError
        As :func:`spike_statistics`; also if no real unit has a spike.

    References
    ----------
    The set of statistics is that of Kapoor et al., Latent diffusion for neural spiking data,
    NeurIPS 2024.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> count = np.random.default_rng(0).poisson(0.5, (500, 3))
    >>> same = compare_generated(*[counts(count, bin_size=0.02)] * 2)
    >>> same["correlation_rmse"].item(), same["rate_ratio"].item()
    (0.0, 1.0)
    """
    bin_size = _shared_bin_size(real, generated, bin_size)
    first, second = (
        spike_statistics(data, bin_size=bin_size, max_lag=max_lag) for data in (real, generated)
    )
    if not np.array_equal(first["unit"].values, second["unit"].values):
        raise DataError(
            "generated and real units differ",
            found=f"{second.sizes['unit']} units",
            expected=f"the {first.sizes['unit']} units that were recorded, in the same order",
        )
    return _comparison(first, second)


def _comparison(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """Return the differences between two sets of statistics of the same units."""
    rate, other_rate = first["rate"].values, second["rate"].values
    spiking = rate > 0
    if not spiking.any():
        raise DegenerateInputError("there is nothing to compare with", found="no real spike")
    n_lags = min(first.sizes["lag"], second.sizes["lag"])
    pairs = np.triu_indices(rate.size, 1)
    differences = {
        "correlation_rmse": _difference(first, second, "correlation")[pairs],
        "isi_mean_error": _difference(first, second, "isi_mean"),
        "isi_sd_error": _difference(first, second, "isi_sd"),
        "autocorrelation_rmse": _difference(
            first.isel(lag=slice(n_lags)), second.isel(lag=slice(n_lags)), "autocorrelation"
        ),
    }
    histograms = (ds["population_bins"].values for ds in (first, second))
    compared = {name: np.isfinite(each).sum() for name, each in differences.items()}
    return results(
        {
            "rate_error": float(np.abs(other_rate[spiking] / rate[spiking] - 1.0).mean()),
            "rate_ratio": float(other_rate.sum() / rate.sum()),
            "population_kl": _divergence(*histograms),
            **{name: _size(name, each) for name, each in differences.items()},
            "n_compared": ("statistic", np.array(list(compared.values()))),
        },
        {"statistic": list(compared)},
        bin_size=first.attrs["bin_size"],
    )


def _statistics(
    values: FloatArray, gaps: list[FloatArray], unit: NDArray[Any], width: float, max_lag: float
) -> xr.Dataset:
    """Return the statistics of counts ``(trial, time, unit)`` and interspike intervals [s]."""
    # a bin in which a unit was not observed tells nothing of the population
    known = np.asarray(np.isfinite(values).all(axis=2))
    if known.sum() < 2:
        raise DegenerateInputError(
            "too few bins for statistics", found=f"{int(known.sum())} observed in all units"
        )
    observed = values[known]
    isi_mean, isi_sd = np.array([_mean_and_sd(own) for own in gaps]).T
    n_lags = min(round(max_lag / width), values.shape[1] - 1)
    lag = np.arange(1, n_lags + 1) * width
    per_second, seconds = {"units": "spikes/s"}, {"units": "s"}
    variables = {
        "rate": ("unit", observed.mean(axis=0) / width, per_second),
        "isi_mean": ("unit", isi_mean, seconds),
        "isi_sd": ("unit", isi_sd, seconds),
        "correlation": (("unit", "unit_to"), _correlation(observed)),
        "population_bins": ("n_spikes", np.bincount(observed.sum(axis=1).astype(np.int64))),
        "autocorrelation": (("unit", "lag"), _autocorrelation(values, known, n_lags)),
    }
    coords = {"unit": unit, "unit_to": unit, "lag": ("lag", lag, seconds)}
    return results(variables, coords, bin_size=width)


def _shared_bin_size(
    real: xr.DataTree | xr.Dataset, generated: xr.DataTree | xr.Dataset, bin_size: float | None
) -> float | None:
    own = [
        float(ds.attrs["bin_size"])
        for ds in (real, generated)
        if isinstance(ds, xr.Dataset) and ds.attrs.get("kind") == "counts"
    ]
    if len(own) == 2 and not np.isclose(own[0], own[1]):
        raise DataError(
            "generated and real bins differ", found=f"{own[1]:g} s", expected=f"{own[0]:g} s"
        )
    return own[0] if own and bin_size is None else bin_size


def _counts(
    data: xr.DataTree | xr.Dataset, bin_size: float | None
) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Return counts, and the spikes if the data have them."""
    is_tree = isinstance(data, xr.DataTree)
    if (is_tree and "spikes" in data.children) or data.attrs.get("kind") == "spikes":
        spikes = pick(data, "spikes")
        return bin_spikes(spikes, 0.02 if bin_size is None else bin_size), spikes
    counts = pick(data, "counts")
    if bin_size is not None and not np.isclose(bin_size, counts.attrs["bin_size"]):
        raise ConfigError(
            "counts have bins of their own",
            found=f"bin_size={bin_size:g} s",
            expected=f"{counts.attrs['bin_size']:g} s",
            hint="bin the spikes anew",
        )
    return counts, None


def _gaps_of_spikes(spikes: xr.Dataset) -> list[FloatArray]:
    """Return the interspike intervals [s] of each unit that lie within what was observed."""
    ends = np.cumsum(spikes["row_size"].values)[:-1]
    times = np.split(spikes["spike_time"].values, ends)
    intervals = observation_intervals(spikes)
    if intervals is None:
        return [np.diff(own) for own in times]
    gaps = []
    for own, seen in zip(times, intervals):
        row = np.searchsorted(np.sort(seen[:, 0]), own, side="right")
        gaps.append(np.diff(own)[np.diff(row) == 0])
    return gaps


def _gaps_of_counts(values: FloatArray, width: float) -> list[FloatArray]:
    """Return the intervals [s] between left edges of the bins of spikes, of each unit."""
    gaps = []
    for unit in np.moveaxis(values, 2, 0):
        stretch = np.cumsum(np.isnan(unit), axis=1)
        trial, bin_ = np.nonzero(np.nan_to_num(unit))
        times = np.repeat(np.arange(trial.size), unit[trial, bin_].astype(np.int64))
        trial, bin_ = trial[times], bin_[times]
        same = (np.diff(trial) == 0) & (np.diff(stretch[trial, bin_]) == 0)
        gaps.append(np.diff(bin_)[same] * width)
    return gaps


def _mean_and_sd(gaps: FloatArray) -> tuple[float, float]:
    return (float(gaps.mean()), float(gaps.std())) if gaps.size > 1 else (np.nan, np.nan)


def _correlation(observed: FloatArray) -> FloatArray:
    spread = observed.std(axis=0)
    centred = observed - observed.mean(axis=0)
    scaled = np.divide(centred, spread, out=np.full_like(centred, np.nan), where=spread > 0)
    found = scaled.T @ scaled / len(observed)
    np.fill_diagonal(found, np.nan)
    return np.asarray(found)


def _autocorrelation(values: FloatArray, known: NDArray[np.bool_], n_lags: int) -> FloatArray:
    """Return the autocorrelation ``(unit, lag)``; both bins of a pair lie in one trial."""
    observed = values[known]
    variance = observed.var(axis=0)
    centred = np.where(known[..., None], values - observed.mean(axis=0), 0.0)
    found = np.full((values.shape[2], n_lags), np.nan)
    for lag in range(1, n_lags + 1):
        n_pairs = (known[:, lag:] & known[:, :-lag]).sum()
        product = np.einsum("atu,atu->u", centred[:, lag:], centred[:, :-lag])
        if n_pairs:
            np.divide(product / n_pairs, variance, out=found[:, lag - 1], where=variance > 0)
    return found


def _difference(first: xr.Dataset, second: xr.Dataset, name: str) -> FloatArray:
    return np.asarray(second[name].values - first[name].values)


def _size(name: str, difference: FloatArray) -> float:
    """Return the mean absolute or root mean square difference; NaN if there is none."""
    known = difference[np.isfinite(difference)]
    if not known.size:
        return float("nan")
    if name.endswith("rmse"):
        return float(np.sqrt(np.square(known).mean()))
    return float(np.abs(known).mean())


def _divergence(real: NDArray[np.int64], generated: NDArray[np.int64]) -> float:
    length = max(real.size, generated.size)
    table = np.stack([np.pad(each, (0, length - each.size)) for each in (real, generated)])
    shown = table[:, table.any(axis=0)] + PSEUDO_COUNT
    p, q = shown / shown.sum(axis=1, keepdims=True)
    return float((p * np.log(p / q)).sum())
