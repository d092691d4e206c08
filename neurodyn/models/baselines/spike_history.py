"""The past of spike counts seen through a few smooth functions of the lag."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["raised_cosines", "spike_history"]

FloatArray = NDArray[np.float64]


def raised_cosines(n_lags: int, n_bases: int) -> FloatArray:
    """Return raised cosines that grow wider with the lag, each of sum 1.

    ``(1 + cos(clip((log(lag + 1) - c_k) pi / (2 d), -pi, pi))) / 2``, centres ``c_k`` a distance
    ``d`` apart from the log of the first lag to that of the last.

    Parameters
    ----------
    n_lags, n_bases
        Bins before the present one, and functions; no more functions than lags.

    Returns
    -------
    numpy.ndarray
        Shape ``(lag, basis)``.

    References
    ----------
    Pillow et al., Nature 454 (2008), methods.

    Examples
    --------
    >>> raised_cosines(3, 3).round(2).argmax(axis=0)
    array([0, 1, 2])
    """
    n_bases = min(n_bases, n_lags)
    place = np.log(np.arange(1, n_lags + 1) + 1.0)
    centre = np.linspace(place[0], place[-1], n_bases)
    apart = centre[1] - centre[0] if n_bases > 1 else 2.0 * (place[-1] - place[0]) + 1.0
    phase = np.clip((place[:, None] - centre) * np.pi / (2.0 * apart), -np.pi, np.pi)
    bases = (1.0 + np.cos(phase)) / 2.0
    return np.asarray(bases / bases.sum(axis=0))


def spike_history(count: ArrayLike, basis: FloatArray) -> FloatArray:
    """Return the past of every bin: ``sum_l basis_k(l) y_j(t - l)`` over lags from 1 on.

    Parameters
    ----------
    count
        Counts ``(time, unit)``; NaN, and what lies before the record, count as no spikes.
    basis
        Shape ``(lag, basis)``; the first lag is the bin before.

    Returns
    -------
    numpy.ndarray
        Shape ``(time, unit * basis)``, the bases of a unit side by side.

    Examples
    --------
    >>> spike_history([[1.0], [0.0], [0.0]], np.array([[0.75], [0.25]])).ravel().tolist()
    [0.0, 0.75, 0.25]
    """
    known = np.nan_to_num(np.asarray(count, dtype=np.float64))
    n_time, n_units = known.shape
    seen = np.zeros((n_time, n_units, basis.shape[1]))
    for lag, weight in enumerate(basis[: n_time - 1], 1):
        seen[lag:] += known[:-lag, :, None] * weight
    return seen.reshape(n_time, -1)
