"""Random search over an estimator's settings, inside the training trials, by a given budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import xarray as xr

from neurodyn.errors import ConfigError
from neurodyn.models.counts_estimator import CountsEstimator
from neurodyn.models.cross_validation import cross_validate
from neurodyn.recording import results
from neurodyn.windows.splits import Split

if TYPE_CHECKING:
    from neurodyn.models.torch_estimator import TorchEstimator

__all__ = ["Tuned", "draw_settings", "tune"]

TRAINING = "training__"
DRAWS_PER_CHANCE = 50


class Tuned(NamedTuple):
    """The best estimator (unfitted), how to fit it, and a table of all draws."""

    estimator: CountsEstimator[Any]
    fit_options: dict[str, Any]
    table: xr.Dataset


def tune(
    estimator: CountsEstimator[Any],
    data: xr.DataTree | xr.Dataset,
    splits: Iterable[Split],
    n_draws: int,
    seed: int = 0,
    metric: str = "co_bps",
    **fit_options: Any,
) -> Tuned:
    """Try settings at random and keep the best; every model gets the same number of draws.

    The first draw is the estimator as it is. Settings named ``training__…`` replace those of
    ``training``.

    Parameters
    ----------
    estimator
        Start; its ``search_space`` says what is drawn from.
    data, splits, metric
        As in :func:`neurodyn.models.cross_validation.cross_validate`; give trials of the
        training fold only.
    n_draws
        How many settings are tried.
    seed
        Of the draws.
    **fit_options
        As in ``cross_validate``: ``validation``, ``training``.

    Returns
    -------
    Tuned
        ``cross_validate(tuned.estimator, data, splits, **tuned.fit_options)`` goes on from
        here; ``table`` has ``score`` and each setting as text ``(draw,)``.

    Raises
    ------
    ConfigError
        If ``n_draws`` is below 1.
    """
    if n_draws < 1:
        raise ConfigError("n_draws must be 1 or more", found=n_draws)
    pairs = list(splits)
    draws = draw_settings(estimator, n_draws, seed)
    candidates = [_candidate(estimator, settings, fit_options) for settings in draws]
    scores = [
        float(cross_validate(model, data, pairs, metric, **options)["pooled"])
        for model, options in candidates
    ]
    best_model, best_options = candidates[int(np.argmax(scores))]
    table = _table(estimator, draws, scores, metric=metric, seed=seed)
    return Tuned(best_model, best_options, table)


def _table(
    estimator: CountsEstimator[Any],
    draws: list[dict[str, Any]],
    scores: list[float],
    **attrs: Any,
) -> xr.Dataset:
    columns = {
        name: ("draw", [str(settings.get(name, "")) for settings in draws])
        for name in estimator.search_space
    }
    scored = {"score": ("draw", scores, {"units": "bits per spike"})}
    return results({**scored, **columns}, estimator=estimator.name, **attrs)


def draw_settings(estimator: CountsEstimator[Any], n_draws: int, seed: int) -> list[dict[str, Any]]:
    """Return different settings from the search space, first of all none (the start itself).

    Fewer come back when the space is smaller.

    Examples
    --------
    >>> from neurodyn.models.baselines import SmoothingGLM
    >>> len(draw_settings(SmoothingGLM(), 5, seed=0))
    5
    """
    generator = np.random.default_rng(seed)
    draws: list[dict[str, Any]] = [{}]
    for _ in range(DRAWS_PER_CHANCE * n_draws):
        if len(draws) == n_draws or not estimator.search_space:
            break
        settings = {
            name: values[int(generator.integers(len(values)))]
            for name, values in estimator.search_space.items()
        }
        if settings not in draws:
            draws.append(settings)
    return draws


def _candidate(
    estimator: CountsEstimator[Any], settings: dict[str, Any], fit_options: dict[str, Any]
) -> tuple[CountsEstimator[Any], dict[str, Any]]:
    model = estimator.clone()
    model.set_params(**{k: v for k, v in settings.items() if not k.startswith(TRAINING)})
    changed = {k.removeprefix(TRAINING): v for k, v in settings.items() if k.startswith(TRAINING)}
    if not changed:
        return model, dict(fit_options)
    start = fit_options.get("training") or cast("TorchEstimator[Any]", estimator).default_training
    return model, {**fit_options, "training": replace(start, **changed)}
