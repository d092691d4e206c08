"""Connectivity over the whole length of traces: one matrix for each animal."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import DataQualityWarning, DegenerateInputError, one_of
from neurodyn.provenance import add_history
from neurodyn.transforms.connectivity.labelled import labelled_results
from neurodyn.transforms.connectivity.tangent import geometric_mean, tangent_vectors
from neurodyn.transforms.connectivity.traces import VARIABLES, Traces, as_traces

__all__ = ["StaticKind", "static_connectivity"]

FloatArray = NDArray[np.float64]
StaticKind = Literal["pearson", "partial", "tangent", "covariance", "precision"]
INVERTED = ("partial", "precision", "tangent")
KINDS = ("pearson", "covariance", *INVERTED)


def static_connectivity(
    data: xr.Dataset | xr.DataArray,
    kind: StaticKind = "pearson",
    *,
    shrinkage: Literal["ledoit_wolf"] | None = "ledoit_wolf",
    on_bad: Literal["raise", "drop"] = "raise",
) -> xr.Dataset:
    """Return the connectivity of all pairs over the whole length of the traces.

    As in nilearn's ``ConnectivityMeasure``, the covariance is **shrunk** by default towards a
    multiple of the identity, which keeps it invertible and pulls correlations towards 0 when
    samples are few. ``shrinkage=None`` gives plain correlations.

    Parameters
    ----------
    data
        Traces, see :func:`neurodyn.transforms.connectivity.as_traces`, of several animals for
        ``tangent``.
    kind
        ``pearson``; ``partial`` correlation, given all other traces; ``covariance``;
        ``precision``, its inverse; ``tangent``, the matrix logarithm of each animal's covariance
        whitened by the geometric mean over animals (Varoquaux et al., 2010).
    shrinkage
        ``ledoit_wolf`` or ``None``. It acts on z-scores for ``pearson``, and on the data as they
        are for the others: bring traces of unlike scales to one scale before.
    on_bad
        Traces that are missing for a while: ``raise``, or ``drop`` them in that animal.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``connectivity([animal,] roi, roi_to)``, float64; ``shrinkage([animal])``,
        from 0 to 1; for ``tangent`` also ``geometric_mean(roi, roi_to)``. NaN for traces that
        are constant or were not recorded (in any animal for ``tangent``); ``seen`` tells them.

    Raises
    ------
    ConfigError, DataError, TimebaseError
        For another kind or shrinkage; as :func:`as_traces` does.
    DegenerateInputError
        If an inverse is needed and there is none (no more samples than traces and no shrinkage,
        or traces that follow from others), or ``tangent`` has one animal only. Correlations and
        covariances of so few samples give a DataQualityWarning instead: each number is sound.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> ds = signal([[0, 0], [1, 1], [2, 2], [3, 1]], sampling_rate=1.0, dim="roi")
    >>> static_connectivity(ds, shrinkage=None)["connectivity"].values.round(3)[0]
    array([1.   , 0.632])
    """
    one_of("kind", kind, KINDS)
    one_of("shrinkage", shrinkage, ("ledoit_wolf", None))
    traces = as_traces(data, on_bad=on_bad)
    variables = _matrices(traces, kind, shrinkage)
    variables["connectivity"] = (*variables["connectivity"], {"units": _units(data, kind)})
    found = labelled_results(traces, variables, data, measure=kind)
    return add_history(found, "static_connectivity", kind=kind, shrinkage=shrinkage, on_bad=on_bad)


def _matrices(traces: Traces, kind: str, shrinkage: str | None) -> dict[str, tuple[Any, ...]]:
    """Return dims and values of the results by name."""
    used = _common(traces) if kind == "tangent" else traces.seen
    covariances, shares = _covariances(traces, used, kind, shrinkage)
    dims = ("animal", traces.node_dim, f"{traces.node_dim}_to")
    found: dict[str, tuple[Any, ...]] = {"shrinkage": (("animal",), shares)}
    if kind == "tangent":
        mean = geometric_mean(np.stack(covariances))
        matrices = list(tangent_vectors(np.stack(covariances), mean))
        found["geometric_mean"] = (dims[1:], _embedded([mean], used[:1])[0])
    else:
        matrices = [_measure(covariance, kind) for covariance in covariances]
    found["connectivity"] = (dims, _embedded(matrices, used))
    return found


def _common(traces: Traces) -> NDArray[np.bool_]:
    """Return the traces that all animals have, shape ``(animal, node)``."""
    n_animals = len(traces.seen)
    common = traces.seen.all(axis=0)
    if n_animals < 2 or common.sum() < 2:
        raise DegenerateInputError(
            "tangents are deviations from a mean over animals",
            found=f"{n_animals} animals, {int(common.sum())} traces that all of them have",
            expected="two animals and two traces at least",
            hint="kind='partial' is of each animal by itself",
        )
    return np.tile(common, (n_animals, 1))


def _covariances(
    traces: Traces, used: NDArray[np.bool_], kind: str, shrinkage: str | None
) -> tuple[list[FloatArray], FloatArray]:
    """Return the covariance of what is used in each animal, and how far it was shrunk."""
    from sklearn.covariance import empirical_covariance, ledoit_wolf

    covariances, shares = [], np.where(used.any(axis=1), 0.0, np.nan)
    for row, (values, usable) in enumerate(zip(traces.values, used)):
        where = f"animal {traces.animal[row]}" if traces.animal is not None else None
        own = values[:, usable]
        own = own - own.mean(axis=0)
        if kind == "pearson":
            own = own / np.sqrt(np.square(own).mean(axis=0))
        if shrinkage is None:
            _check_samples(own, kind, where)
        if not own.shape[1]:
            covariance: FloatArray = np.empty((0, 0))
        elif shrinkage is None:
            covariance = empirical_covariance(own, assume_centered=True)
        else:
            covariance, shares[row] = ledoit_wolf(own, assume_centered=True)
        if kind in INVERTED:
            _check_invertible(covariance, traces.node[usable], where)
        covariances.append(covariance)
    return covariances, shares


def _check_samples(values: FloatArray, kind: str, where: str | None) -> None:
    n_samples, n_traces = values.shape
    if n_samples > n_traces:
        return
    fault = f"{n_samples} samples of {n_traces} traces"
    if kind in INVERTED:
        raise DegenerateInputError(
            f"no {kind} connectivity without shrinkage",
            where=where,
            found=fault,
            expected=f"more than {n_traces} samples",
            hint="shrinkage='ledoit_wolf', fewer traces or a longer recording",
        )
    text = f"{fault}: each number is sound, but the matrix has no inverse"
    warnings.warn(f"{text}; shrinkage='ledoit_wolf' gives one", DataQualityWarning, stacklevel=5)


def _check_invertible(covariance: FloatArray, node: NDArray[Any], where: str | None) -> None:
    correlation = _correlation(covariance)
    n_nodes = len(correlation)
    if not n_nodes or np.linalg.eigvalsh(correlation)[0] > 10 * n_nodes * np.finfo(float).eps:
        return
    largest = np.abs(np.triu(correlation, 1))
    first, second = np.unravel_index(np.argmax(largest), largest.shape)
    raise DegenerateInputError(
        "a covariance has no inverse",
        where=where,
        found=f"traces follow from others; nearest {node[first]} and {node[second]},"
        f" |r| = {largest.max():.6f}",
        hint="leave the repeated traces out"
        if largest.max() > 1 - 1e-9
        else "shrinkage='ledoit_wolf', or leave out traces that are sums of others",
    )


def _correlation(covariance: FloatArray) -> FloatArray:
    spread = np.sqrt(np.diag(covariance))
    found = covariance / spread / spread[:, None]
    np.fill_diagonal(found, 1.0)
    return np.asarray(np.clip(found, -1.0, 1.0))


def _measure(covariance: FloatArray, kind: str) -> FloatArray:
    if kind == "covariance" or not covariance.size:
        return covariance
    if kind == "pearson":
        return _correlation(covariance)
    spread = np.sqrt(np.diag(covariance))
    # of correlations: scales of traces that differ by far would cost digits
    precision = np.linalg.inv(_correlation(covariance))
    precision = 0.5 * (precision + precision.T)
    if kind == "precision":
        return np.asarray(precision / spread / spread[:, None])
    partial = -_correlation(precision)
    np.fill_diagonal(partial, 1.0)
    return partial


def _embedded(matrices: list[FloatArray], used: NDArray[np.bool_]) -> FloatArray:
    """Return matrices of all nodes, NaN where a node is not used."""
    found = np.full((len(used), used.shape[1], used.shape[1]), np.nan)
    for matrix, usable, whole in zip(matrices, used, found):
        whole[np.ix_(usable, usable)] = matrix
    return found


def _units(data: xr.Dataset | xr.DataArray, kind: str) -> str:
    array = data[VARIABLES[data.attrs["kind"]]] if isinstance(data, xr.Dataset) else data
    units = str(array.attrs.get("units", ""))
    power = {"covariance": 2, "precision": -2}.get(kind, 0)
    return f"({units})^{power}" if power and units else ""
