"""How well spikes are told by the past: a model beside a history GLM, on the same bins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn.models.baselines.history_glm import fit_history_glm, score_history_glm
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import FIRST_UNIT

__all__ = ["likelihood_rows"]

LONGEST_HISTORY = 1.0
# histories of half a second and more are seen through more bases
LONG_HISTORY, FEW_BASES, MANY_BASES = 0.5, 4, 6
GIVEN_PAST = "bits_per_spike_given_past"


def likelihood_rows(
    model: Neuroformer, train: xr.DataTree, held_out: xr.DataTree, *, baselines: bool = True
) -> list[dict[str, Any]]:
    """Return bits per spike of a model and of a history GLM over the same null.

    The null are the mean rates of the model's training windows. The GLM reads as far back as the
    model, at most a second, is fitted to the bins of the training part that have a whole past,
    and scored on the bins that the model is scored on.

    Parameters
    ----------
    model
        Fitted.
    train, held_out
        What the GLM is fitted to, and what is scored.
    baselines
        Whether to fit a GLM.

    Returns
    -------
    list of dict
        ``model``, ``bits_per_spike_given_past``, of the model also ``bits_per_spike``, which
        knows earlier spikes of the same bin; ``baseline`` of a baseline.
    """
    scores = model.scores(held_out)
    own = {name: scores[name] for name in (GIVEN_PAST, "bits_per_spike") if name in scores}
    rows: list[dict[str, Any]] = [{"model": model.name, **own}]
    if baselines:
        history = min(model.config.past, LONGEST_HISTORY)
        glm = {"model": f"history GLM, {history:g} s", "baseline": "history_glm"}
        rows.append({**glm, GIVEN_PAST: _glm_score(model, train, held_out, history)})
    rates = {"model": "mean rates", "baseline": "poisson"}
    return [*rows, {**rates, GIVEN_PAST: 0.0, "bits_per_spike": 0.0}]


def _glm_score(
    model: Neuroformer, train: xr.DataTree, held_out: xr.DataTree, history: float
) -> float:
    n_apart = model.config.n_past_bins
    n_bases = FEW_BASES if history < LONG_HISTORY else MANY_BASES
    windows = model.windows(train)
    counts, place = _counts(windows, n_apart)
    first = windows.store.first
    with_past = np.concatenate([np.arange(*ends) for ends in zip(first[:-1] + n_apart, first[1:])])
    fitted = fit_history_glm(counts, place[with_past], history=history, n_bases=n_bases)
    recorded = windows.store.recorded
    null = np.asarray(model.context_.expected_counts, dtype=np.float64)[recorded]
    fitted = replace(fitted, null_expected_count=null)
    windows = model.windows(held_out)
    counts, place = _counts(windows, n_apart)
    scored = (windows.starts[:, None] + np.arange(windows.length)).ravel()
    return float(score_history_glm(fitted, counts, place[scored])["bits_per_spike"])


def _counts(windows: TokenWindows, n_apart: int) -> tuple[xr.Dataset, NDArray[np.int64]]:
    """Return counts of all stretches in one row, bins between them not observed.

    The second array says where each bin of the store lies in that row. Bins are those of the
    windows, which begin with their stretch, not those of a clock.
    """
    store = windows.store
    bins = np.arange(store.n_bins)
    place = bins + store.stretch(bins) * n_apart
    count = np.zeros((int(place[-1]) + 1, store.tokenizer.n_units), dtype=np.int64)
    np.add.at(count, (place[store.bins], store.unit - FIRST_UNIT), 1)
    observed = np.zeros(len(count), dtype=bool)
    observed[place] = True
    unit = np.array(store.tokenizer.units, dtype=object)[store.recorded]
    bin_size = store.tokenizer.bin_size
    row = rec.counts(count[:, store.recorded], bin_size=bin_size, unit=unit, observed=observed)
    return row, place
