"""Affinities from concurrent change: the differential affinity, and rectified edge time series."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from neurodyn.errors import ConfigError, one_of
from neurodyn.transforms.connectivity.affinity import pair_index
from neurodyn.transforms.connectivity.feature_affinity import FeatureAffinity
from neurodyn.transforms.connectivity.traces import Traces, as_traces
from neurodyn.transforms.smoothing import smoothing_kernel

__all__ = ["AffinityKind", "differential_affinity", "edge_affinity"]

Array = NDArray[Any]
AffinityKind = Literal["geometric", "product", "minimum", "rise", "saturating"]
KINDS = ("geometric", "product", "minimum", "rise", "saturating")
N_LEVELS = 16


def differential_affinity(
    data: xr.Dataset | xr.DataArray,
    kind: AffinityKind = "geometric",
    *,
    bandwidth: float = 2.0,
    smoothing: float | None = 2.0,
    sign: Literal["same", "opposite"] = "same",
    on_bad: Literal["raise", "drop"] = "raise",
    dtype: DTypeLike = np.float32,
) -> FeatureAffinity:
    """Return how much each pair of traces changes together, at every time.

    ``a_ij = sqrt(max(0, d_i d_j))`` of smoothed derivatives ``d_i`` over their root mean square
    in the animal: it marks onset and offset of events that two traces share.

    Parameters
    ----------
    data
        See :func:`neurodyn.transforms.connectivity.as_traces`.
    kind
        ``geometric``; ``product``, which a few large events dominate; ``minimum`` of the sizes,
        in 16 levels; ``rise``, geometric between rises only; ``saturating``, of ``tanh(d / 2)``.
    bandwidth
        Standard deviation of the Gaussian derivative filter [s]: about the rise time of the
        indicator. This is the number that matters; no kind is best everywhere.
    smoothing
        Standard deviation of Gaussian smoothing of the affinity [s], then kept at every
        ``floor(smoothing * sampling_rate)``-th sample; none: every sample.
    sign
        ``opposite``: the affinity of changes in opposite directions instead.
    on_bad, dtype
        As :func:`as_traces` takes it; of the features.

    Returns
    -------
    FeatureAffinity
        Lazy; traces that an animal lacks, or that are constant there, are masked.

    Raises
    ------
    ConfigError, DataError, TimebaseError
        For an impossible setting, or traces that cannot be used.

    References
    ----------
    Dyballa et al., ICLR 2024, by its description: the exact formula was not available.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> waves = np.sin(np.arange(200) / 4)[:, None] * [1.0, 1.0, -1.0]
    >>> affinity = differential_affinity(signal(waves, sampling_rate=4.0, dim="roi"))
    >>> affinity.dense().mean("time").values.round(1)
    array([0.9, 0. , 0. ], dtype=float32)
    """
    traces = as_traces(data, on_bad=on_bad)
    feature, signs = _feature_set(_change(traces, bandwidth), kind, sign, dtype)
    attrs = {"affinity": kind, "bandwidth": bandwidth, "sign": sign}
    return _affinity(traces, feature, signs, smoothing, attrs)


def edge_affinity(
    data: xr.Dataset | xr.DataArray,
    *,
    smoothing: float | None = 2.0,
    on_bad: Literal["raise", "drop"] = "raise",
    dtype: DTypeLike = np.float32,
) -> FeatureAffinity:
    """Return the rectified edge time series ``max(0, z_i z_j)`` of z-scored traces as affinity.

    Parameters
    ----------
    data, smoothing, on_bad, dtype
        As in :func:`differential_affinity`.

    References
    ----------
    Faskowitz et al., Nature Neuroscience 23 (2020): edge time series.

    Examples
    --------
    >>> from neurodyn.recording import signal
    >>> traces = signal([[0.0, 1.0], [1.0, 3.0]], sampling_rate=4.0, dim="roi")
    >>> edge_affinity(traces, smoothing=None).dense().values.ravel()
    array([1., 1.], dtype=float32)
    """
    traces = as_traces(data, on_bad=on_bad)
    centred = traces.values - traces.values.mean(axis=1, keepdims=True)
    score = np.nan_to_num(centred / traces.values.std(axis=1, keepdims=True))
    feature = np.concatenate(_features(score, "product", dtype))
    return _affinity(traces, feature, np.ones(len(feature)), smoothing, {"affinity": "edge"})


def _change(traces: Traces, bandwidth: float) -> NDArray[np.float64]:
    """Return smoothed derivatives over their root mean square, 0 where nothing was seen."""
    from scipy.ndimage import gaussian_filter1d

    if not (np.isfinite(bandwidth) and bandwidth > 0):
        raise ConfigError("bandwidth must be above 0", found=bandwidth, expected="seconds")
    filled = np.nan_to_num(traces.values)
    width = bandwidth * traces.sampling_rate
    change = gaussian_filter1d(filled, width, axis=1, order=1, mode="nearest")
    root_mean_square = np.sqrt(np.square(change).mean(axis=1, keepdims=True))
    moved = root_mean_square > 0
    zero = np.zeros_like(change)
    return np.asarray(np.divide(change, root_mean_square, out=zero, where=moved))


def _feature_set(
    change: NDArray[np.float64], kind: str, sign: str, dtype: DTypeLike
) -> tuple[Array, NDArray[np.float64]]:
    """Return features and their signs."""
    one_of("kind", kind, KINDS)
    one_of("sign", sign, ("same", "opposite"))
    if kind == "rise" and sign == "opposite":
        raise ConfigError("rises have no opposite", hint="kind='geometric' with sign='opposite'")
    positive, negative = _features(change, kind, dtype)
    if sign == "opposite":
        # u v' + v u' = (s s' - m m') / 2 with s = u + v and m = u - v
        feature = np.concatenate([positive + negative, positive - negative])
        return feature, np.repeat([0.5, -0.5], len(positive))
    feature = positive if kind == "rise" else np.concatenate([positive, negative])
    return feature, np.ones(len(feature))


def _features(change: NDArray[np.float64], kind: str, dtype: DTypeLike) -> tuple[Array, Array]:
    """Return features of positive and of negative change, shape ``(level, animal, time, node)``."""
    if kind == "saturating":
        change = np.tanh(change / 2)
    parts = np.maximum(change, 0), np.maximum(-change, 0)
    if kind == "minimum":
        edges, steps = _levels(np.abs(change))
        shape = (-1, *[1] * change.ndim)
        positive, negative = (
            np.sqrt(steps).reshape(shape) * (part > edges.reshape(shape)) for part in parts
        )
    elif kind == "product":
        positive, negative = (part[None] for part in parts)
    else:
        positive, negative = (np.sqrt(part)[None] for part in parts)
    return positive.astype(dtype), negative.astype(dtype)


def _levels(size: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower edges of levels that hold as many values each, and the steps between them."""
    moved = size[size > 0]
    edges = np.quantile(moved, np.arange(N_LEVELS) / N_LEVELS)
    edges[0] = 0.0
    level = np.searchsorted(edges, moved, side="left") - 1
    total = np.bincount(level, weights=moved, minlength=N_LEVELS)
    mean = total / np.maximum(np.bincount(level, minlength=N_LEVELS), 1)
    return edges, np.maximum(np.diff(mean, prepend=0.0), 0.0)


def _affinity(
    traces: Traces,
    feature: Array,
    sign: NDArray[np.float64],
    smoothing: float | None,
    attrs: dict[str, Any],
) -> FeatureAffinity:
    first, second = pair_index(traces.node.size)
    kernel = None if smoothing is None else _kernel(traces, smoothing)
    kept = slice(None) if smoothing is None else slice(None, None, _stride(traces, smoothing))
    along_time = {name: c[{"time": kept}] for name, c in traces.coords.items() if "time" in c.dims}
    return FeatureAffinity(
        feature=feature,
        sign=sign,
        smoothing=kernel if kernel is None else kernel.astype(feature.dtype),
        mask=(traces.seen[:, first] & traces.seen[:, second]).T.copy(),
        node_dim=traces.node_dim,
        coords={**traces.coords, **along_time},
        has_animals=traces.has_animals,
        attrs={**attrs, "smoothing": smoothing, "quality": dict(traces.quality)},
    )


def _stride(traces: Traces, smoothing: float) -> int:
    return max(1, int(np.floor(smoothing * traces.sampling_rate + 1e-9)))


def _kernel(traces: Traces, smoothing: float) -> Any:
    """Return the sparse matrix that smooths and decimates: rows of sum 1, also at the ends."""
    from scipy.sparse import csr_array, diags_array

    n_samples = traces.values.shape[1]
    weights, n_past = smoothing_kernel(smoothing * traces.sampling_rate)
    offsets = np.arange(weights.size) - n_past
    inside = np.abs(offsets) < n_samples
    band = diags_array(
        weights[inside], offsets=offsets[inside], shape=(n_samples, n_samples), format="csr"
    )
    rows = csr_array(band)[:: _stride(traces, smoothing)]
    return csr_array(diags_array(1 / rows.sum(axis=1)) @ rows)
