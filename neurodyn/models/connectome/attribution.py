"""Which stimulus drives which component: circular shifts and the Benjamini-Hochberg rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from neurodyn.errors import ConfigError, DegenerateInputError, TrialTableError
from neurodyn.provenance import add_history
from neurodyn.recording import results

__all__ = ["attribute"]

FloatArray = NDArray[np.float64]


def attribute(
    components: xr.Dataset,
    trials: xr.Dataset,
    *,
    after: float = 10.0,
) -> xr.Dataset:
    """Return how much stronger each component is around each stimulus, with its significance.

    The index is the mean course on ``[start, stop + after)`` over the mean elsewhere. Its null:
    the same for the course shifted circularly against the stimuli by every whole number of
    samples, which makes the p-value exact, and no smaller than one over their number. P-values
    are corrected over components and stimuli together (Benjamini and Hochberg).

    Parameters
    ----------
    components
        With ``time_factor (component, time)``.
    trials
        Kind ``trials`` with column ``stimulus``, at times that all animals share:
        :func:`neurodyn.transforms.align_stimuli` first.
    after
        How long a response may outlast its stimulus [s].

    Returns
    -------
    xr.Dataset
        Dims ``(component, stimulus)``: ``stimulus_index``, ``p_value``, ``q_value``.

    Raises
    ------
    TrialTableError
        If stimuli have no names, come at other times in other animals, or lie outside.
    ConfigError, DegenerateInputError
        If ``after`` is negative; if the windows of a stimulus fill the record.
    """
    if not (np.isfinite(after) and after >= 0):
        raise ConfigError("after must be 0 or more", found=after, expected="seconds")
    time = components["time"].values
    step, begin = float(np.median(np.diff(time))), float(time[0])
    windows = _windows(trials, begin, begin + step * time.size, after)
    shifts = np.arange(time.size, dtype=np.float64)
    course = components["time_factor"].values.astype(np.float64)
    index = np.stack(
        [
            _index(course, (start - begin) / step, (stop - begin) / step, shifts)
            for start, stop in windows.values()
        ],
        axis=1,
    )
    # equal within rounding counts as reached
    reached = index >= index[..., :1] * (1 - 1e-9)
    p_value = reached.mean(axis=-1)
    q_value = false_discovery_control(p_value.ravel()).reshape(p_value.shape)
    named = {"stimulus_index": index[..., 0], "p_value": p_value, "q_value": q_value}
    variables = {name: (("component", "stimulus"), values) for name, values in named.items()}
    coords = {"component": components["component"].values, "stimulus": list(windows)}
    return add_history(results(variables, coords), "attribute", after=after)


def _windows(
    trials: xr.Dataset, begin: float, end: float, after: float
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return starts and stops [s] of the windows of each stimulus."""
    if "stimulus" not in trials or not trials.sizes["trial"]:
        raise TrialTableError(
            "trials have no stimuli",
            found=", ".join(map(str, trials.data_vars)),
            expected="a text column 'stimulus' and one trial or more",
        )
    found = {}
    for name in dict.fromkeys(trials["stimulus"].values.tolist()):
        own = trials.isel(trial=np.flatnonzero(trials["stimulus"].values == name))
        start, stop = _shared(own, str(name))
        if (start < begin).any() or (start >= end).any():
            raise TrialTableError(
                f"stimulus {name!r} lies outside the components",
                found=f"{start.min():g} to {start.max():g} s",
                expected=f"{begin:g} to {end:g} s",
            )
        found[str(name)] = start, np.minimum(stop + after, end)
    return found


def _shared(own: xr.Dataset, name: str) -> tuple[FloatArray, FloatArray]:
    """Return start and stop of the trials of one stimulus, which all animals share."""
    pairs = np.stack([own["start"].values, own["stop"].values], axis=1)
    if "animal" not in own:
        return pairs[:, 0], pairs[:, 1]
    animals = own["animal"].values
    each = [pairs[animals == animal] for animal in dict.fromkeys(animals.tolist())]
    if any(one.shape != each[0].shape or not np.allclose(one, each[0]) for one in each):
        raise TrialTableError(
            f"stimulus {name!r} comes at other times in other animals",
            found=f"starts from {pairs[:, 0].min():g} to {pairs[:, 0].max():g} s",
            hint="neurodyn.transforms.align_stimuli(signal, trials) before the affinity",
        )
    return each[0][:, 0], each[0][:, 1]


def _index(course: FloatArray, start: FloatArray, stop: FloatArray, shifts: FloatArray) -> Any:
    """Return mean inside over mean outside, shape ``(component, shift)``; times in samples.

    Windows move instead of the course, which its integral makes cheap.
    """
    n_samples = course.shape[1]
    integral = np.concatenate([np.zeros((len(course), 1)), course.cumsum(axis=1)], axis=1)
    total, grid = integral[:, -1:], np.arange(n_samples + 1)

    def up_to(at: FloatArray) -> FloatArray:
        turns, rest = np.divmod(at, n_samples)
        within = np.stack([np.interp(rest, grid, row) for row in integral])
        return np.asarray(within + turns * total)

    inside = sum(up_to(b + shifts) - up_to(a + shifts) for a, b in zip(start, stop))
    n_inside = float((stop - start).sum())
    if not 0 < n_inside < n_samples:
        raise DegenerateInputError(
            "the windows of a stimulus fill the record",
            found=f"{n_inside:g} of {n_samples} samples",
            hint="a smaller after=",
        )
    outside = (total - inside) / (n_samples - n_inside)
    mean = np.asarray(inside) / n_inside
    # a component that is silent elsewhere is as strong as can be
    quotient = np.full(mean.shape, np.inf)
    np.divide(mean, outside, out=quotient, where=outside > 1e-12 * np.abs(total))
    return np.where(mean > 0, quotient, 0.0)
