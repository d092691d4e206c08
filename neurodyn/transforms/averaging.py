"""Peri-event averages of aligned counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import TrialTableError, suggest
from neurodyn.recording import results

__all__ = ["psth"]


def psth(aligned: xr.Dataset, by: str | Sequence[str] | None = "condition") -> xr.Dataset:
    """Average the firing rate over the trials of each condition.

    Parameters
    ----------
    aligned
        Counts ``(trial, time, unit)``.
    by
        Trial coordinate that names the condition, or several; None averages over all trials.

    Returns
    -------
    xr.Dataset
        ``rate`` and ``standard_error`` [spikes/s] over the observed trials, dims
        ``(condition, time, unit)``, NaN where there is none; ``n_trials(condition)``.

    Raises
    ------
    TrialTableError
        If there is no such coordinate, or no trials.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> ds = counts(np.ones((4, 3, 1)), bin_size=0.1, trial_columns={"condition": list("abab")})
    >>> psth(ds)["rate"].sel(condition="a").values.ravel().tolist()
    [10.0, 10.0, 10.0]
    """
    if "trial" not in aligned.dims:
        raise TrialTableError("there are no trials to average", found=dict(aligned.sizes))
    labels = _condition_labels(aligned, by)
    conditions = np.unique(labels)
    count = aligned["count"].transpose("trial", "time", "unit").values
    shape = (conditions.size, *count.shape[1:])
    rate, error = np.full(shape, np.nan), np.full(shape, np.nan)
    mask = _full_mask(aligned)
    for row, condition in enumerate(conditions):
        chosen = labels == condition
        rate[row], error[row] = _mean_and_error(count[chosen], mask[chosen])
    dims = ("condition", "time", "unit")
    bin_size = aligned.attrs["bin_size"]
    return results(
        {
            "rate": (dims, rate / bin_size, {"units": "spikes/s"}),
            "standard_error": (dims, error / bin_size, {"units": "spikes/s"}),
            "n_trials": ("condition", [int((labels == c).sum()) for c in conditions]),
        },
        {"condition": conditions, "time": aligned["time"], "unit": aligned["unit"]},
        bin_size=bin_size,
    )


def _condition_labels(aligned: xr.Dataset, by: str | Sequence[str] | None) -> NDArray[Any]:
    columns = [] if by is None else [by] if isinstance(by, str) else list(by)
    if not columns:
        return np.full(aligned.sizes["trial"], "all")
    known = [str(name) for name, coord in aligned.coords.items() if coord.dims == ("trial",)]
    for column in columns:
        if column not in known:
            raise TrialTableError(f"no trial column {column!r}", hint=suggest(column, known))
    if len(columns) == 1:
        return np.asarray(aligned[columns[0]].values)
    table = zip(*(aligned[column].values.astype(str) for column in columns))
    return np.array([", ".join(row) for row in table])


def _full_mask(aligned: xr.Dataset) -> NDArray[np.bool_]:
    count = aligned["count"].transpose("trial", "time", "unit")
    if "observed" not in aligned:
        return np.broadcast_to(np.array(True), count.shape)
    full = aligned["observed"].broadcast_like(count).transpose("trial", "time", "unit")
    return np.asarray(full.values)


def _mean_and_error(
    count: NDArray[Any], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = mask.sum(axis=0).astype(np.float64)
    n[n == 0] = np.nan
    values = np.where(mask, count, 0).astype(np.float64)
    mean = values.sum(axis=0) / n
    squares = (np.where(mask, values - mean, 0.0) ** 2).sum(axis=0)
    many = np.where(n > 1, n, np.nan)
    return mean, np.sqrt(squares / (many - 1) / many)
