"""What a fitted history GLM says by itself: who drives whom, and the spikes that it generates."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodyn.models.baselines.history_glm import HistoryGLM
from neurodyn.recording import counts, results

__all__ = ["coupling_filters", "sample_history_glm"]


def coupling_filters(model: HistoryGLM) -> xr.Dataset:
    """Return what a spike of one unit adds to the log rate of another.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``filter(unit, unit_to, lag)``, from ``unit`` to ``unit_to``, lags [s];
        ``score(unit, unit_to)``, the sum over lags, NaN from a unit to itself.

    Examples
    --------
    >>> from neurodyn.models.baselines.history_glm import fit_history_glm
    >>> data = counts(np.tile([[1, 0], [0, 1]], (200, 1)), bin_size=0.025)
    >>> coupling_filters(fit_history_glm(data, history=0.1))["filter"].dims
    ('unit', 'unit_to', 'lag')
    """
    filters = np.einsum("jki,lk->jil", model.weight, model.basis)
    total = filters.sum(axis=2)
    np.fill_diagonal(total, np.nan)
    pair = ("unit", "unit_to")
    lag = np.arange(1, len(model.basis) + 1) * model.bin_size
    return results(
        {"filter": ((*pair, "lag"), filters), "score": (pair, total)},
        {"unit": model.unit, "unit_to": model.unit, "lag": ("lag", lag, {"units": "s"})},
        measure="coupling of a history GLM",
    )


def sample_history_glm(model: HistoryGLM, n_bins: int, *, seed: int) -> xr.Dataset:
    """Let the model run by itself, on its own spikes from silence on.

    Parameters
    ----------
    model
        Of :func:`fit_history_glm`.
    n_bins
        Bins to generate.
    seed
        Of the Poisson draws.

    Returns
    -------
    xr.Dataset
        Kind ``counts``, dims ``(time, unit)``. ``attrs["quality"]`` says how many expected counts
        were held at the largest one of the training bins: excitation that feeds itself has no end.

    Examples
    --------
    >>> from neurodyn.models.baselines.history_glm import fit_history_glm
    >>> data = counts(np.random.default_rng(0).poisson(0.5, (400, 2)), bin_size=0.025)
    >>> sample_history_glm(fit_history_glm(data), 10, seed=0)["count"].shape
    (10, 2)
    """
    rng = np.random.default_rng(seed)
    n_lags, n_units = len(model.basis), model.unit.size
    # rows of the past run from the oldest bin to the last one
    filters = np.einsum("jki,lk->lji", model.weight, model.basis)[::-1].reshape(-1, n_units)
    drawn = np.zeros((n_lags + n_bins, n_units))
    most, n_held = np.log(model.largest_count), 0
    for now in range(n_lags, n_lags + n_bins):
        log_expected = drawn[now - n_lags : now].ravel() @ filters + model.intercept
        n_held += int((log_expected > most).sum())
        drawn[now] = rng.poisson(np.exp(np.minimum(log_expected, most)))
    generated = counts(drawn[n_lags:], bin_size=model.bin_size, unit=model.unit)
    return generated.assign_attrs(quality={"held_at_largest": n_held}) if n_held else generated
