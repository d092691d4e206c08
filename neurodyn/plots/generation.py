"""Recorded and generated spikes side by side: rasters, trial averages, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from neurodyn.errors import DataError, EmptySelectionError, suggest
from neurodyn.metrics.generated_counts import psth_correlation
from neurodyn.metrics.generation import compare_generated, spike_statistics
from neurodyn.plots.rates import raster
from neurodyn.plots.style import figure_or_new, ink, palette, tidy
from neurodyn.recording import masked_counts, pick

__all__ = ["generation_statistics", "psth_pair", "raster_pair"]

FloatArray = NDArray[np.float64]
SHOWN = 3
MANY_POINTS = 1000
# ratio of values on a logarithmic axis from which on powers of ten are ticks enough
NARROW = 50.0


def raster_pair(
    real: xr.DataTree | xr.Dataset,
    generated: xr.DataTree | xr.Dataset,
    *,
    start: float = 0.0,
    stop: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Axes, Axes]:
    """Draw recorded and generated spikes side by side, the same units in the same rows.

    Parameters
    ----------
    real, generated
        Recordings, or datasets of kind ``spikes``, of the same units. Trials are shaded.
    start, stop
        From when to when [s]; to the last spike of both if not given.
    figure
        Empty figure or part of one to fill; best with ``layout="constrained"``.

    Returns
    -------
    tuple
        Axes of the recorded and of the generated spikes.

    Raises
    ------
    DataError
        If the units differ.
    EmptySelectionError
        If one of the two has no spikes in that time.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.1, 0.4], "b": [0.2]})
    >>> panels = raster_pair(spikes, spikes, figure=Figure())
    >>> [panel.get_title(loc="left") for panel in panels]
    ['recorded', 'generated']
    """
    both = [pick(data, "spikes") for data in (real, generated)]
    _check_units(*both)
    if stop is None:
        stop = max((float(ds["spike_time"].max()) for ds in both if ds.sizes["spike"]), default=0.0)
    panels = figure_or_new(figure, size=(8.0, 3.2)).subplots(1, 2, sharex=True, sharey=True)
    for panel, data, title in zip(panels, (real, generated), ("recorded", "generated")):
        raster(data, start=start, stop=stop, ax=panel)
        panel.set_title(title, loc="left")
    panels[1].set_ylabel("")
    return panels[0], panels[1]


def psth_pair(
    real: xr.DataTree | xr.Dataset,
    generated: xr.DataTree | xr.Dataset,
    *,
    units: Sequence[str] | None = None,
    by: str | None = "condition",
    figure: Figure | SubFigure | None = None,
) -> NDArray[np.object_]:
    """Draw mean rates over recorded and over generated trials, units by conditions.

    Bands are standard errors. Each row tells the correlation of the two means over all conditions,
    and what that of the recorded mean with the true rate would be.

    Parameters
    ----------
    real, generated
        Kind ``counts``, dims ``(trial, time, unit)``, aligned to the same event; as many bins and
        the same units. Bins that were not observed in every trial are left out.
    units
        Unit ids; the three whose recorded mean holds the least noise if not given.
    by
        Trial coordinate of both that tells conditions apart; all together if ``None`` or absent.
    figure
        As in :func:`raster_pair`.

    Returns
    -------
    numpy.ndarray
        Axes, shape ``(unit, condition)``.

    Raises
    ------
    DataError
        If units, bins or conditions differ.
    EmptySelectionError
        If there is no such unit, or fewer than two bins were observed in every trial.
    DegenerateInputError
        If a condition has fewer than two trials.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> count = np.random.default_rng(0).poisson([[1.0], [3.0], [2.0]], (20, 3, 1))
    >>> trials = counts(count, bin_size=0.1)
    >>> psth_pair(trials, trials, figure=Figure()).shape
    (1, 1)
    """
    both = [pick(data, "counts") for data in (real, generated)]
    _check_units(*both)
    rates = _observed_rates(*both)
    groups = _groups(rates, by)
    found = psth_correlation(rates[0].values, rates[1].values, groups[0], groups[1])
    rows = [_row(name, rates[0]) for name in units] if units else _most_reliable(found)
    n_columns = len(np.unique(groups[0]))
    whole = figure_or_new(figure, size=(2.0 + 2.2 * n_columns, 0.8 + 1.4 * len(rows)))
    panels = whole.subplots(len(rows), n_columns, sharex=True, sharey="row", squeeze=False)
    for panel_row, row in zip(panels, rows):
        _draw_psths(panel_row, [rate.isel(unit=row) for rate in rates], groups)
    _label_psths(panels, np.unique(groups[0]), found.isel(unit=rows))
    return np.asarray(panels, dtype=object)


def generation_statistics(
    real: xr.DataTree | xr.Dataset,
    generated: xr.DataTree | xr.Dataset,
    *,
    bin_size: float | None = None,
    max_lag: float = 0.2,
    figure: Figure | SubFigure | None = None,
) -> tuple[Axes, ...]:
    r"""Draw the statistics of generated spikes against those of recorded ones, with their distance.

    Parameters
    ----------
    real, generated, bin_size, max_lag
        As in :func:`neurodyn.metrics.compare_generated`.
    figure
        As in :func:`raster_pair`.

    Returns
    -------
    tuple
        Axes of rates, mean and standard deviation of interspike intervals, correlations of pairs,
        population counts and autocorrelation (mean over units).

    Raises
    ------
    DataError, ConfigError, DegenerateInputError
        As :func:`neurodyn.metrics.compare_generated`.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> count = np.random.default_rng(0).poisson(0.5, (500, 3))
    >>> same = counts(count, bin_size=0.02)
    >>> panels = generation_statistics(same, same, figure=Figure())
    >>> panels[0].get_title(loc="left")
    'rates\nerror 0 %, ratio 1.00'
    """
    distance = compare_generated(real, generated, bin_size=bin_size, max_lag=max_lag)
    width = float(distance.attrs["bin_size"])
    both = [spike_statistics(data, bin_size=width, max_lag=max_lag) for data in (real, generated)]
    panels = tuple(figure_or_new(figure, size=(8.0, 5.4)).subplots(2, 3).ravel())
    for panel, name, units in zip(panels, ("rate", "isi_mean", "isi_sd"), ("spikes/s", "s", "s")):
        _scatter(panel, *(ds[name].values for ds in both), units=f" [{units}]", logarithmic=True)
    pairs = np.triu_indices(both[0].sizes["unit"], 1)
    _scatter(panels[3], *(ds["correlation"].values[pairs] for ds in both))
    for ds, style in zip(both, _styles()):
        _population(panels[4], ds["population_bins"].values, **style)
        mean = ds["autocorrelation"].mean("unit").values
        panels[5].plot(1000 * ds["lag"].values, mean, linewidth=1.5, **style)
    panels[4].set_yscale("log")
    tidy(panels[4], xlabel=f"spikes of all units in {1000 * width:g} ms", ylabel="share of bins")
    panels[5].axhline(0.0, color=ink(), linewidth=0.6, alpha=0.5)
    tidy(panels[5], xlabel="lag [ms]", ylabel="mean over units")
    for panel, title in zip(panels, _titles(distance)):
        panel.set_title(title, loc="left")
    panels[5].legend()
    return panels


def _titles(distance: xr.Dataset) -> tuple[str, ...]:
    """Return what each panel of statistics shows, and how far they are from one another."""
    told = {name: float(value) for name, value in distance.items() if value.ndim == 0}
    return (
        f"rates\nerror {100 * told['rate_error']:.0f} %, ratio {told['rate_ratio']:.2f}",
        f"means of intervals\nerror {1000 * told['isi_mean_error']:.3g} ms",
        f"SDs of intervals\nerror {1000 * told['isi_sd_error']:.3g} ms",
        f"correlations of pairs\nRMSE {told['correlation_rmse']:.3f}",
        f"population counts\nKL {told['population_kl']:.3f} nats",
        f"autocorrelation\nRMSE {told['autocorrelation_rmse']:.3f}",
    )


def _check_units(real: xr.Dataset, generated: xr.Dataset) -> None:
    if not np.array_equal(real["unit"].values, generated["unit"].values):
        raise DataError(
            "generated and real units differ",
            found=f"{generated.sizes['unit']} units",
            expected=f"the {real.sizes['unit']} units that were recorded, in the same order",
        )


def _observed_rates(real: xr.Dataset, generated: xr.Dataset) -> list[xr.DataArray]:
    """Return rates [spikes/s] in the bins that were observed in every trial of both."""
    sizes = [(ds.sizes["time"], float(ds.attrs["bin_size"])) for ds in (real, generated)]
    if sizes[0][0] != sizes[1][0] or not np.isclose(sizes[0][1], sizes[1][1]):
        found, expected = (f"{n_time} bins of {width:g} s" for n_time, width in sizes[::-1])
        raise DataError("generated and real bins differ", found=found, expected=expected)
    rates = [
        masked_counts(ds).transpose("trial", "time", "unit") / ds.attrs["bin_size"]
        for ds in (real, generated)
    ]
    seen = np.logical_and(*(np.isfinite(rate.values).all(axis=(0, 2)) for rate in rates))
    if seen.sum() < 2:
        raise EmptySelectionError(
            "too few bins were observed in every trial",
            found=f"{int(seen.sum())} of {seen.size}",
            expected="two at least",
        )
    middle = real["time"].values[seen] + sizes[0][1] / 2.0
    return [rate[:, seen].assign_coords(time=middle) for rate in rates]


def _most_reliable(found: xr.Dataset) -> list[int]:
    """Return the units whose recorded means hold the least noise, NaN last."""
    known = np.nan_to_num(found["reliability"].values, nan=-np.inf)
    return [int(row) for row in np.argsort(-known, kind="stable")[:SHOWN]]


def _groups(rates: Sequence[xr.DataArray], by: str | None) -> list[NDArray[Any]]:
    """Return the condition of each trial, one for all without conditions in both."""
    if by is not None and all(by in rate.coords for rate in rates):
        return [rate[by].values for rate in rates]
    return [np.full(rate.sizes["trial"], "") for rate in rates]


def _row(unit: str, rate: xr.DataArray) -> int:
    names = [str(name) for name in rate["unit"].values]
    if unit not in names:
        raise EmptySelectionError(f"no unit {unit!r}", hint=suggest(unit, names))
    return names.index(unit)


def _styles() -> tuple[dict[str, str], dict[str, str]]:
    """Return how recorded and generated spikes are drawn: the truth in ink, the model in colour."""
    return (
        {"color": ink(), "label": "recorded"},
        {"color": palette()[0], "label": "generated"},
    )


def _draw_psths(
    panels: Sequence[Axes],
    rates: Sequence[xr.DataArray],
    groups: Sequence[NDArray[Any]],
) -> None:
    """Draw means over trials ``(trial, time)`` by condition, in bands of their standard errors."""
    panels[0].set_ylabel(f"unit {rates[0]['unit'].values}\n[spikes/s]")
    for panel, condition in zip(panels, np.unique(groups[0])):
        for rate, group, style in zip(rates, groups, _styles()):
            own = rate[group == condition]
            time, mean = own["time"].values, own.mean("trial").values
            error = own.std("trial", ddof=1).values / np.sqrt(own.sizes["trial"])
            band: dict[str, Any] = {"color": style["color"], "alpha": 0.2, "linewidth": 0}
            panel.fill_between(time, mean - error, mean + error, **band)
            panel.plot(time, mean, color=style["color"], linewidth=1.4, label=style["label"])
        panel.set_ylim(bottom=0.0)
        panel.spines[["top", "right"]].set_visible(False)


def _label_psths(panels: NDArray[Any], conditions: NDArray[Any], found: xr.Dataset) -> None:
    """Name columns, rows' correlations, time and lines."""
    for condition, top, bottom in zip(conditions, panels[0], panels[-1]):
        top.set_title(str(condition), loc="left")
        bottom.set_xlabel("time in trial [s]")
    scores = zip(found["correlation"].values, found["ceiling"].values)
    for panel, (score, best) in zip(panels[:, -1], scores):
        panel.set_title(f"r {score:.2f} of {best:.2f}".replace("-", "−"), loc="right")
    lines = panels[0, 0].get_lines()
    panels[0, 0].figure.legend(handles=lines, loc="outside upper right", ncols=2)


def _scatter(
    panel: Axes,
    real: FloatArray,
    generated: FloatArray,
    *,
    units: str = "",
    logarithmic: bool = False,
) -> None:
    """Draw generated over real values as dots, with the line on which they are equal."""
    known = np.isfinite(real) & np.isfinite(generated)
    x, y = real[known], generated[known]
    many = x.size > MANY_POINTS
    style: dict[str, Any] = {"s": 4.0, "alpha": 0.25} if many else {"s": 14.0, "alpha": 0.7}
    panel.scatter(x, y, color=palette()[0], linewidths=0, rasterized=many, **style)
    limits = _log_axes(panel, np.r_[x, y]) if logarithmic else _limits(np.r_[x, y])
    panel.plot(limits, limits, color=ink(), linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    panel.set(xlim=limits, ylim=limits)
    tidy(panel, xlabel=f"recorded{units}", ylabel=f"generated{units}")


def _limits(values: FloatArray) -> tuple[float, float]:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.5
    return low - room, high + room


def _log_axes(panel: Axes, values: FloatArray) -> tuple[float, float]:
    """Make both axes logarithmic, with a place for 0 if a value is, and return their limits."""
    positive = values[values > 0.0]
    low, high = (positive.min(), positive.max()) if positive.size else (1.0, 1.0)
    silent = positive.size < values.size
    scale: dict[str, Any] = {"value": "symlog", "linthresh": low} if silent else {"value": "log"}
    panel.set_xscale(**scale)
    panel.set_yscale(**scale)
    # few ticks, or they cover one another
    digits = (1, 2, 5) if high < NARROW * low else (1,)
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = np.outer(powers, digits).ravel()
    ticks = np.r_[[0.0] * silent, ticks[(ticks >= low) & (ticks <= high)]]
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    return -0.2 * low if silent else low / 1.4, 1.4 * high


def _population(panel: Axes, n_bins: NDArray[np.int64], *, color: str, label: str) -> None:
    """Draw the share of bins by their number of spikes; what no bin holds is left open."""
    share = np.where(n_bins > 0, n_bins / n_bins.sum(), np.nan)
    edges = np.arange(n_bins.size + 1) - 0.5
    panel.stairs(share, edges, baseline=None, linewidth=1.4, color=color, label=label)
