"""From benchmark tensors to the counts that models take, and from their rates to submissions.

Rates in neurodyn are in spikes/s; expected counts per bin, which the benchmark wants, are made
here and only here.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import DataError, UnitScaleError
from neurodyn.nlb.arrays import Array, Tensors
from neurodyn.nlb.guard import LeakageError
from neurodyn.recording import counts

__all__ = ["counts_for_fit", "expected_count", "submission_from", "to_counts"]

FloatArray = NDArray[np.float64]


def counts_for_fit(tensors: Tensors) -> xr.Dataset:
    """Return training tensors as counts; refuses any other role.

    Raises
    ------
    LeakageError
        If the tensors are for evaluation or are targets.
    """
    if tensors.role != "training":
        raise LeakageError(
            "these tensors are not for fitting",
            where=tensors.task.name,
            found=f"role {tensors.role}",
            expected="role training",
        )
    return to_counts(tensors)


def to_counts(tensors: Tensors) -> xr.Dataset:
    """Return tensors as a counts dataset.

    Training tensors give all units and, where they have it, the forward window. Evaluation
    tensors give what a model may see: held-in units and no forward bins, even if held-out
    spikes are known.

    Parameters
    ----------
    tensors
        Of role training or evaluation.

    Returns
    -------
    xr.Dataset
        Kind ``counts``, dims ``(trial, time, unit)``, with ``observed``; ``time`` [s] relative to
        the alignment, coordinates ``held_out``, ``forward``, ``split``; attrs ``role``, ``task``.

    Raises
    ------
    LeakageError
        For target tensors.
    """
    if tensors.role == "target":
        raise LeakageError("targets are only for scores", where=tensors.task.name)
    task, training = tensors.task, tensors.role == "training"
    names = ["spikes_heldin", "spikes_heldout"] if training else ["spikes_heldin"]
    values = _together(tensors, names)
    n_forward = 0
    if training and "train_spikes_heldin_forward" in tensors.arrays:
        ahead = _together(tensors, [f"{name}_forward" for name in names])
        values, n_forward = np.concatenate([values, ahead], axis=1), ahead.shape[1]
    observed = ~np.isnan(values)
    units = [*tensors.held_in, *(tensors.held_out if training else ())]
    columns = {"split": list(tensors.split)} if tensors.split else None
    return counts(
        np.where(observed, values, 0).astype(np.uint16),
        bin_size=task.bin_size,
        unit=units,
        start=task.window[0],
        trial=tensors.trial,
        observed=observed,
        held_out=np.arange(len(units)) >= len(tensors.held_in),
        forward=np.arange(values.shape[1]) >= values.shape[1] - n_forward,
        trial_columns=columns,
        role=tensors.role,
        task=task.name,
    )


def expected_count(rates: xr.Dataset, bin_size: float) -> xr.DataArray:
    """Return expected counts per bin from a result in spikes/s.

    Parameters
    ----------
    rates
        With ``log_rate`` (natural logarithm of spikes/s) or ``rate`` (spikes/s).
    bin_size
        Width of the bins [s].

    Raises
    ------
    UnitScaleError
        If there is neither.

    Examples
    --------
    >>> expected_count(xr.Dataset({"rate": ("time", [50.0])}), 0.02).item()
    1.0
    """
    if "log_rate" in rates:
        return cast(xr.DataArray, np.exp(rates["log_rate"].astype(np.float64)) * bin_size)
    if "rate" in rates:
        return rates["rate"].astype(np.float64) * bin_size
    raise UnitScaleError(
        "a result must say its unit",
        found=", ".join(map(str, rates.data_vars)) or "nothing",
        expected="log_rate (natural logarithm of spikes/s) or rate (spikes/s)",
    )


def submission_from(rates: xr.Dataset, tensors: Tensors) -> dict[str, Array]:
    """Return the arrays of a submission for the trials of some tensors.

    Parameters
    ----------
    rates
        What a model predicted: ``log_rate`` or ``rate``, dims ``(trial, time, unit)`` in any
        order of trials and units, ``bin_size`` in attrs if known; with forward bins if the
        model has them.
    tensors
        The tensors predicted from; they give the order of trials and units.

    Returns
    -------
    dict
        ``eval_rates_heldin``, ``eval_rates_heldout`` and, for evaluation with forward bins,
        ``eval_rates_heldin_forward``, ``eval_rates_heldout_forward``: expected counts per bin,
        float64. For training tensors ``train_rates_…`` without forward bins.

    Raises
    ------
    DataError
        Naming all missing trials, units and bins.
    """
    task = tensors.task
    faults = list(_faults(rates, tensors))
    if faults:
        raise DataError("rates do not fit the task", where=task.name, found="; ".join(faults))
    ordered = rates.sel(trial=tensors.trial).transpose("trial", "time", "unit", ...)
    values = expected_count(ordered, task.bin_size)
    arrays: dict[str, Array] = {}
    for group, ids in (("heldin", tensors.held_in), ("heldout", tensors.held_out)):
        chosen = np.asarray(values.sel(unit=list(ids)).values)
        arrays[f"{tensors.prefix}_rates_{group}"] = chosen[:, : task.n_time]
        if tensors.role == "evaluation" and chosen.shape[1] > task.n_time:
            arrays[f"eval_rates_{group}_forward"] = chosen[:, task.n_time :]
    return arrays


def _together(tensors: Tensors, names: list[str]) -> FloatArray:
    arrays = [tensors.arrays[f"{tensors.prefix}_{name}"] for name in names]
    return np.concatenate(arrays, axis=2).astype(np.float64)


def _faults(rates: xr.Dataset, tensors: Tensors) -> list[str]:
    faults = []
    task = tensors.task
    for dim, wanted in (
        ("trial", tensors.trial.tolist()),
        ("unit", [*tensors.held_in, *tensors.held_out]),
    ):
        present = rates[dim].values.tolist() if dim in rates.coords else []
        missing = [label for label in wanted if label not in set(present)]
        if missing:
            faults.append(f"{len(missing)} {dim}s are missing: {missing[:10]}")
    n_time = rates.sizes.get("time", 0)
    if n_time not in (task.n_time, task.n_time + task.n_forward):
        faults.append(
            f"{n_time} bins, expected {task.n_time} or {task.n_time + task.n_forward} with forward"
        )
    bin_size = rates.attrs.get("bin_size", task.bin_size)
    if bin_size != task.bin_size:
        faults.append(f"bin_size is {bin_size:g} s, expected {task.bin_size:g} s")
    return faults
