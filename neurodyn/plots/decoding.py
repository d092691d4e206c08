"""Decoded behavior: traces over time beside the measured ones, and scores of few examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from neurodyn.errors import DataError, EmptySelectionError, suggest
from neurodyn.metrics.decoding import r2_per_output
from neurodyn.plots.networks import known_variable
from neurodyn.plots.style import axes_or_new, figure_or_new, ink, palette, tidy

__all__ = ["decoded_traces", "few_shot_curve"]

FloatArray = NDArray[np.float64]
MARKERS = "osD^vP"
# a step longer than this many usual steps is a gap
GAP = 1.5


def decoded_traces(
    decoded: xr.Dataset,
    *,
    features: Sequence[str] | None = None,
    start: float | None = None,
    stop: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Axes, ...]:
    """Draw decoded and measured behavior over time, a panel for each feature.

    The titles tell Pearson's r and R² of all instants, not of the shown ones alone. Lines break
    where instants are missing.

    Parameters
    ----------
    decoded
        Result with ``predicted (time, feature)`` and ``true (time, feature)``; ``time`` [s]. The
        coordinate ``feature_units`` of ``feature`` gives units.
    features
        Which ones; all if not given.
    start, stop
        From when to when [s]; all of it if not given.
    figure
        Empty figure or part of one to fill; best with ``layout="constrained"``.

    Returns
    -------
    tuple
        Axes of the features.

    Raises
    ------
    EmptySelectionError
        If there is no such variable or feature, or no instant in that time.

    Examples
    --------
    >>> from neurodyn import recording
    >>> time = np.arange(4) * 0.25
    >>> values = ("time", "feature"), np.array([[0.0], [1.0], [0.0], [2.0]])
    >>> coords = {"time": time, "feature": ["speed"], "feature_units": ("feature", ["cm/s"])}
    >>> decoded = recording.results({"true": values, "predicted": values}, coords)
    >>> (axes,) = decoded_traces(decoded, figure=Figure())
    >>> axes.get_title(loc="left"), axes.get_ylabel()
    ('speed: r 1.00, R² 1.00', 'speed [cm/s]')
    """
    columns = _columns(decoded, features)
    time = decoded["time"].values
    after = time >= (-np.inf if start is None else start)
    shown = after & (time <= (np.inf if stop is None else stop))
    if not shown.any():
        raise EmptySelectionError("no instant to draw", found=f"none from {start} s to {stop} s")
    whole = figure_or_new(figure, size=(6.5, 0.6 + 1.5 * len(columns)))
    axes = whole.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
    for panel, column in zip(axes, columns):
        _draw_trace(panel, decoded.isel(feature=column), shown)
    axes[-1].set_xlabel("time [s]")
    axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)
    return tuple(axes)


def few_shot_curve(
    rows: Iterable[Mapping[str, Any]], *, quantity: str = "r", ax: Axes | None = None
) -> Axes:
    """Draw the score of models over the share of the training data that they were given.

    Parameters
    ----------
    rows
        Each has ``model``, ``share`` (of the training data, above 0, at most 1) and the quantity,
        and perhaps its interval, such as ``r_low`` and ``r_high``.
    quantity
        ``r`` or another number that rows hold.
    ax
        Where to draw.

    Raises
    ------
    EmptySelectionError
        If no row holds the quantity; lists those that there are.
    DataError
        If a share is not above 0 and at most 1.

    Examples
    --------
    >>> rows = [{"model": "ridge", "share": share, "r": share} for share in (0.01, 0.1, 1.0)]
    >>> axes = few_shot_curve(rows, ax=Figure().add_subplot())
    >>> [label.get_text() for label in axes.get_xticklabels()]
    ['1 %', '10 %', '100 %']
    """
    listed = [dict(row) for row in rows]
    found = [row for row in listed if isinstance(row.get(quantity), int | float)]
    if not found:
        known = {name for row in listed for name in row} - {"model", "share"}
        raise EmptySelectionError(f"no {quantity!r} in the rows", hint=suggest(quantity, known))
    wrong = [row["share"] for row in found if not 0.0 < row["share"] <= 1.0]
    if wrong:
        raise DataError("a share is out of range", found=wrong[0], expected="0 < share <= 1")
    axes = axes_or_new(ax)
    for number, name in enumerate(dict.fromkeys(str(row["model"]) for row in found)):
        own = sorted((row for row in found if row["model"] == name), key=lambda row: row["share"])
        share, score, low, high = (
            np.array([row.get(key, np.nan) for row in own], dtype=np.float64)
            for key in ("share", quantity, f"{quantity}_low", f"{quantity}_high")
        )
        color, marker = palette()[number % 6], MARKERS[number % len(MARKERS)]
        axes.plot(share, score, color=color, marker=marker, markersize=5.0, label=name)
        axes.vlines(share, low, high, color=color, linewidth=1.2)
    ticks = sorted({float(row["share"]) for row in found})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{100 * share:g} %" for share in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend()
    tidy(axes, xlabel="share of the training data", ylabel=quantity.replace("_", " "))
    return axes


def _columns(decoded: xr.Dataset, features: Sequence[str] | None) -> list[int]:
    """Return the columns of the features to draw."""
    for variable in ("predicted", "true"):
        known_variable(decoded, variable)
    known = [str(name) for name in decoded["feature"].values]
    chosen = known if features is None else [str(name) for name in features]
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        name = unknown[0] if unknown else "any"
        raise EmptySelectionError(f"no feature {name!r} to draw", hint=suggest(name, known))
    return [known.index(name) for name in chosen]


def _draw_trace(panel: Axes, decoded: xr.Dataset, shown: NDArray[np.bool_]) -> None:
    """Draw the shown instants of one feature, with the scores of all of them."""
    name = str(decoded["feature"].values)
    unit = str(decoded["feature_units"].values) if "feature_units" in decoded.coords else ""
    time, true, predicted = (
        decoded[variable].values.astype(np.float64) for variable in ("time", "true", "predicted")
    )
    # the measured line is thin and lies above the decoded one
    styles = (true, ink(), "measured", 1.0, 3), (predicted, palette()[0], "decoded", 1.4, 2)
    for values, color, label, width, zorder in styles:
        line = _with_breaks(time[shown], values[shown])
        panel.plot(*line, color=color, linewidth=width, label=label, zorder=zorder)
    panel.set_title(f"{name}: {_scores(true, predicted)}", loc="left")
    panel.margins(x=0.0)
    tidy(panel, xlabel="", ylabel=f"{name} [{unit}]" if unit else name)


def _scores(true: FloatArray, predicted: FloatArray) -> str:
    """Return r and R² over the instants at which both are known, in words."""
    known = np.isfinite(true) & np.isfinite(predicted)
    if known.sum() < 2:
        return "no score"
    y, p = true[known], predicted[known]
    constant = np.ptp(y) == 0.0 or np.ptp(p) == 0.0
    correlation = "–" if constant else f"{np.corrcoef(y, p)[0, 1]:.2f}"
    r2 = float(r2_per_output(y[:, None], p[:, None])[0])
    return f"r {correlation}, R² {r2:.2f}".replace("-", "−")


def _with_breaks(time: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Put NaN where instants are missing, so that no line is drawn across."""
    steps = np.diff(time)
    if not steps.size:
        return time, values
    gaps = np.flatnonzero(steps > GAP * np.median(steps)) + 1
    return np.insert(time, gaps, np.nan), np.insert(values, gaps, np.nan)
