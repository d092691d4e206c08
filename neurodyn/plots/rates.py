"""Spikes and firing rates: raster, PSTH, and inferred rates against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError, suggest
from neurodyn.plots.style import axes_or_new, colors_for, ink, palette, tidy
from neurodyn.recording import masked_counts, pick, unit_spike_times

__all__ = ["psth", "raster", "rates"]

MOST_NAMED_UNITS = 16
SPIKES_PER_SECOND = "firing rate [spikes/s]"


def raster(
    recording: xr.DataTree | xr.Dataset,
    *,
    start: float = 0.0,
    stop: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the spikes of all units, one row each; held-out units in their own colour.

    Parameters
    ----------
    recording
        A recording, or a dataset of kind ``spikes``. Trials of a recording are shaded.
    start, stop
        From when to when [s]; to the last spike if not given.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there are no spikes at all, or none in that time.
    """
    spikes = pick(recording, "spikes")
    times = [unit_spike_times(spikes, unit) for unit in spikes["unit"].values]
    shown = [time[(time >= start) & (time < (np.inf if stop is None else stop))] for time in times]
    if not any(map(len, shown)):
        raise EmptySelectionError("no spikes to draw", found=f"none from {start} s to {stop} s")
    last = max(time[-1] for time in shown if len(time)) if stop is None else stop
    axes = axes_or_new(ax, size=(6.5, 3.0))
    if isinstance(recording, xr.DataTree) and "trials" in recording.children:
        for begin, end in _intervals(pick(recording, "trials"), start, last):
            axes.axvspan(begin, end, color=ink(), alpha=0.06, linewidth=0)
    held_out = spikes.coords.get("held_out", xr.zeros_like(spikes["unit"], dtype=bool)).values
    for held, color, label in ((False, ink(), "held in"), (True, palette()[1], "held out")):
        rows = np.flatnonzero(held_out == held)
        if rows.size:
            at = np.concatenate([shown[row] for row in rows])
            row_of = np.repeat(rows, [len(shown[row]) for row in rows])
            axes.vlines(at, row_of - 0.4, row_of + 0.4, color=color, linewidth=0.6, label=label)
    _name_units(axes, spikes["unit"].values)
    axes.set_xlim(start, last)
    axes.set_ylim(len(times) - 0.5, -0.5)
    if held_out.any():
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.0)
    tidy(axes, xlabel="time [s]", ylabel="unit")
    return axes


def psth(
    counts: xr.DataTree | xr.Dataset,
    unit: str,
    *,
    by: str | None = "condition",
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean rate of one unit over trials, with its standard error.

    Parameters
    ----------
    counts
        Kind ``counts``, dims ``(trial, time, unit)``; bins that were not observed are left out.
    unit
        Unit id.
    by
        Trial coordinate that tells conditions apart; all trials together if ``None`` or absent.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If there is no such unit.
    """
    counts = pick(counts, "counts")
    rate = masked_counts(counts).sel(unit=_known(counts, unit)) / counts.attrs["bin_size"]
    group = counts[by].values if by in counts.coords else np.zeros(counts.sizes["trial"], int)
    colors = colors_for(group.tolist())
    axes = axes_or_new(ax)
    time = counts["time"].values + counts.attrs["bin_size"] / 2.0
    for label, color in colors.items():
        values = rate.values[group == label]
        n_observed = np.maximum(np.isfinite(values).sum(axis=0), 1)
        mean = np.nansum(values, axis=0) / n_observed
        spread = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / np.maximum(n_observed - 1, 1))
        error = spread / np.sqrt(n_observed)
        axes.fill_between(time, mean - error, mean + error, color=color, alpha=0.2, linewidth=0)
        axes.plot(time, mean, color=color, linewidth=1.5, label=str(label))
    if 1 < len(colors) <= len(palette()):
        axes.legend(title=by, ncols=2)
    axes.set_ylim(bottom=0.0)
    axes.set_title(f"unit {unit}", loc="left")
    tidy(axes, xlabel="time in trial [s]", ylabel=SPIKES_PER_SECOND)
    return axes


def rates(
    prediction: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    unit: str,
    trial: Any,
    counts: xr.Dataset | None = None,
    name: str = "model",
    ax: Axes | None = None,
) -> Axes:
    """Draw the inferred rate of one unit in one trial against the truth and the spikes.

    Parameters
    ----------
    prediction
        Result with ``rate`` [spikes/s], dims ``(trial, time, unit)``.
    truth
        The same of the truth, where it is known.
    unit, trial
        Which one.
    counts
        Kind ``counts``; drawn as grey bars at the height of their rate.
    name
        Of the model.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If a dataset has no such unit or trial.
    """
    axes = axes_or_new(ax)
    if counts is not None:
        bars = _trace(masked_counts(counts), counts, unit, trial) / counts.attrs["bin_size"]
        width = counts.attrs["bin_size"]
        style: dict[str, Any] = {"color": ink(), "alpha": 0.14, "label": "spikes"}
        axes.bar(counts["time"].values, bars, width, align="edge", **style)
    if truth is not None:
        _line(axes, truth, unit, trial, color=ink(), linewidth=1.2, label="truth")
    _line(axes, prediction, unit, trial, color=palette()[0], linewidth=1.8, label=name)
    held_out = "held_out" in prediction.coords and bool(prediction["held_out"].sel(unit=unit))
    axes.set_title(f"unit {unit}{' (held out)' if held_out else ''}, trial {trial}", loc="left")
    axes.set_ylim(bottom=0.0)
    axes.legend()
    tidy(axes, xlabel="time in trial [s]", ylabel=SPIKES_PER_SECOND)
    return axes


def _line(axes: Axes, ds: xr.Dataset, unit: str, trial: Any, **style: Any) -> None:
    """Draw a rate with each bin's value at its middle."""
    time = ds["time"].values
    half_bin = (time[1] - time[0]) / 2.0 if time.size > 1 else 0.0
    axes.plot(time + half_bin, _trace(ds["rate"], ds, unit, trial), **style)


def _trace(values: xr.DataArray, ds: xr.Dataset, unit: str, trial: Any) -> NDArray[Any]:
    labels = ds["trial"].values.tolist()
    if trial not in labels:
        raise EmptySelectionError(f"no trial {trial!r}", hint=suggest(str(trial), map(str, labels)))
    return np.asarray(values.sel(unit=_known(ds, unit), trial=trial).values)


def _known(ds: xr.Dataset, unit: str) -> str:
    labels = ds["unit"].values.tolist()
    if unit not in labels:
        raise EmptySelectionError(f"no unit {unit!r}", hint=suggest(str(unit), labels))
    return unit


def _intervals(trials: xr.Dataset, start: float, stop: float) -> NDArray[np.float64]:
    table = np.stack([trials["start"].values, trials["stop"].values], axis=1)
    table = table[(table[:, 0] < stop) & (table[:, 1] > start)]
    return np.asarray(table.clip(start, stop))


def _name_units(axes: Axes, units: NDArray[Any]) -> None:
    if len(units) <= MOST_NAMED_UNITS:
        axes.set_yticks(range(len(units)), units.tolist())
