"""Fitting never sees evaluation data: roles that travel with the data, and a check by content.

Every dataset made from benchmark tensors carries ``attrs["role"]``. Models call
:func:`refuse_evaluation` on what they are to fit; :func:`refuse_overlap` also finds evaluation
trials that lost their role on the way, because it compares their spikes.
"""

from __future__ import annotations

import hashlib

import numpy as np
import xarray as xr

from neurodyn.errors import DataError

__all__ = ["LeakageError", "refuse_evaluation", "refuse_overlap", "trial_digests"]


class LeakageError(DataError):
    """Data meant for evaluation are about to be fitted."""


def refuse_evaluation(data: xr.Dataset | xr.DataTree) -> None:
    """Raise if data are marked as evaluation or target data, as a whole or in some trials.

    Parameters
    ----------
    data
        What an estimator is about to fit; data without a role pass.

    Raises
    ------
    LeakageError
        If ``attrs["role"]``, or the coordinate ``role`` of any trial, is not ``"training"``.

    Examples
    --------
    >>> refuse_evaluation(xr.Dataset(attrs={"role": "training"}))
    """
    nodes = (
        [node.to_dataset() for node in data.subtree] if isinstance(data, xr.DataTree) else [data]
    )
    for ds in nodes:
        roles = {str(ds.attrs.get("role", "training"))}
        # units may have roles too, of another kind
        if "role" in ds.coords and set(ds["role"].dims) <= {"trial"}:
            roles |= set(map(str, np.atleast_1d(ds["role"].values)))
        if roles != {"training"}:
            raise LeakageError(
                "these data are not for fitting",
                where=ds.attrs.get("task"),
                found=f"role {', '.join(sorted(roles - {'training'}))}",
                expected="role training",
                hint="fit the training tensors and predict from these",
            )


def refuse_overlap(training: xr.Dataset, evaluation: xr.Dataset) -> None:
    """Raise if a trial of the evaluation data is among the training data, by its spikes.

    Parameters
    ----------
    training, evaluation
        Counts ``(trial, time, unit)``; the units and bins they share are compared.

    Raises
    ------
    LeakageError
        Naming the trials.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> a = counts(np.eye(3)[None], bin_size=0.02)
    >>> b = counts(np.eye(3)[None, ::-1], bin_size=0.02)
    >>> refuse_overlap(a, b)
    """
    units = [unit for unit in training["unit"].values if unit in set(evaluation["unit"].values)]
    n_time = min(_seen(training).sizes["time"], _seen(evaluation).sizes["time"])
    if not units or "trial" not in training.dims or "trial" not in evaluation.dims:
        return
    fitted = trial_digests(_seen(training).sel(unit=units).isel(time=slice(n_time)))
    asked = trial_digests(_seen(evaluation).sel(unit=units).isel(time=slice(n_time)))
    common = sorted(set(fitted) & set(asked) - {""})
    if common:
        pairs = [f"{fitted[digest]} = {asked[digest]}" for digest in common[:5]]
        raise LeakageError(
            "evaluation trials are among the training trials",
            found=f"{len(common)} trials with the same spikes (training = evaluation): "
            + ", ".join(pairs),
            hint="make both from the same recording by split",
        )


def trial_digests(counts: xr.Dataset) -> dict[str, object]:
    """Return the id of each trial by a hash of its counts; trials without a spike share ``""``."""
    ordered = counts["count"].transpose("trial", "time", "unit")
    values = np.ascontiguousarray(ordered.values, dtype=np.uint16)
    return {
        hashlib.sha256(trial.tobytes()).hexdigest() if trial.any() else "": label
        for trial, label in zip(values, ordered["trial"].values.tolist())
    }


def _seen(counts: xr.Dataset) -> xr.Dataset:
    return counts.isel(time=~counts["forward"].values) if "forward" in counts.coords else counts
