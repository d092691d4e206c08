"""Estimators of firing rates: counts in, labelled rates and latents out, scored in bits per spike.

Units may come in any order and are aligned by label. ``predict`` and ``transform`` read held-in
units and bins before the forward window only. Bins that were not observed enter a model as 0 and
count in no loss and no score.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError, one_of
from neurodyn.metrics.spikes import (
    bits_per_spike,
    nll_per_bin,
    null_expected_count,
)
from neurodyn.models.base import C, Estimator, RunConfig, arrays_digest
from neurodyn.models.context import DataContext, TrialCounts
from neurodyn.models.run_folder import Run
from neurodyn.nlb.guard import refuse_evaluation
from neurodyn.provenance import add_history
from neurodyn.recording import pick, results

__all__ = ["METRICS", "CountsEstimator", "counts_digest", "spike_scores"]

FloatArray = NDArray[np.floating[Any]]
METRICS: Mapping[str, str] = {
    "co_bps": "held-out units, bins before the forward window",
    "fp_bps": "all units, forward bins",
    "held_in_bps": "held-in units, bins before the forward window",
}
"""Scores and what they are about; all are bits per spike."""


class CountsEstimator(Estimator[C]):
    """Base of the estimators that learn firing rates from counts.

    Data are a recording with counts, or a counts dataset ``(trial, time, unit)``; counts
    ``(time, unit)`` of a recording without trials are cut into blocks first.
    """

    data_kind = "counts"
    context_: DataContext
    data_: dict[str, Any]

    @abstractmethod
    def fit(self, data: xr.DataTree | xr.Dataset, *, validation: Any = None) -> Self:
        """Learn to predict all units and bins from the held-in units.

        Parameters
        ----------
        data
            Training counts; held-out units and forward bins are targets, never inputs.
        validation
            Counts for early stopping, where an estimator has it; else only checked.

        Raises
        ------
        LeakageError
            If data are marked as evaluation data.
        DataError
            If ``validation`` has other units.
        TimebaseError
            If ``validation`` has other bins.
        """

    def predict(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Return the rates of all units in all bins, forward ones too.

        Parameters
        ----------
        data
            Counts with at least the held-in units and the bins before the forward window;
            whatever else they hold is not read.

        Returns
        -------
        xr.Dataset
            ``log_rate`` (natural logarithm of spikes/s) and ``rate`` [spikes/s], both float32
            ``(trial, time, unit)``, units in the order of the fit.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        DataError
            If held-in units are missing or unknown ones present.
        TimebaseError
            If bin size or number of bins differ.
        """
        self._require_fitted()
        counts = self._trials(data)
        inputs = self.context_.inputs(counts)
        return self._as_rates(self._log_expected_count(inputs), counts, inputs, "predict")

    def transform(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Return what the model has found in the held-in units.

        Returns
        -------
        xr.Dataset
            ``latent`` float32 ``(trial, time, factor)``, and more where a model has more.

        Raises
        ------
        NotFittedError, DataError, TimebaseError
            As :meth:`predict`.
        """
        self._require_fitted()
        counts = self._trials(data)
        inputs = self.context_.inputs(counts)
        return self._labelled(self._latents(inputs), counts, inputs, "transform")

    def score(self, data: xr.DataTree | xr.Dataset, metric: str = "co_bps") -> xr.Dataset:
        """Compare predictions with the counts that the model did not see.

        Parameters
        ----------
        data
            Counts with the targets of the metric.
        metric
            ``"co_bps"``: held-out units; ``"fp_bps"``: all units in forward bins;
            ``"held_in_bps"``: held-in units.

        Returns
        -------
        xr.Dataset
            The score and, for each trial, ``nll`` and ``null_nll`` [nats] and ``n_spikes``.

        Raises
        ------
        EmptySelectionError
            If the model has no units or bins for this metric.
        """
        return spike_scores(self.predict(data), self._trials(data), self.context_, metric)

    def _trials(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        counts = pick(data, "counts")
        if "trial" in counts["count"].dims:
            return counts
        from neurodyn.windows import cut_blocks

        known = "context_" in self.__dict__
        return cut_blocks(counts, self.context_.n_time * self.context_.bin_size if known else None)

    def _begin_fit(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Forget an earlier fit and take the context of the new data."""
        self._forget()
        refuse_evaluation(data)
        counts = self._trials(data)
        self.context_ = DataContext.of(counts)
        self.data_ = {"digest": counts_digest(counts), "n_trials": int(counts.sizes["trial"])}
        if "quality" in counts.attrs:
            self.data_["quality"] = counts.attrs["quality"]
        return counts

    def _validation_counts(self, validation: xr.DataTree | xr.Dataset) -> xr.Dataset:
        refuse_evaluation(validation)
        return self.context_.target_counts(self._trials(validation))

    def _finish_fit(self) -> None:
        self.arrays_digest_ = arrays_digest(self._arrays())

    @abstractmethod
    def _log_expected_count(self, inputs: TrialCounts) -> FloatArray:
        """Return log expected counts, shape ``(trial, time and forward, unit)``."""

    @abstractmethod
    def _latents(self, inputs: TrialCounts) -> dict[str, Any]:
        """Return variables of ``transform``: at least ``latent (trial, time, factor)``."""

    def _restore(self, run: Run, settings: RunConfig) -> None:
        self.context_ = DataContext.from_json(run.metadata["context"])
        self.data_ = json.loads(run.metadata["data"])
        self.arrays_digest_ = arrays_digest(run.arrays)

    def _metadata(self) -> dict[str, str]:
        return {"context": self.context_.to_json(), "data": json.dumps(self.data_)}

    def _provenance(self) -> dict[str, Any]:
        return {"inputs": {"counts": self.data_}, "device": "cpu", "seed": None}

    def _as_rates(
        self, log_expected_count: FloatArray, counts: xr.Dataset, inputs: TrialCounts, step: str
    ) -> xr.Dataset:
        log_rate = (log_expected_count - np.log(self.context_.bin_size)).astype(np.float32)
        variables = {
            "log_rate": (("trial", "time", "unit"), log_rate, {"units": "log(spikes/s)"}),
            "rate": (("trial", "time", "unit"), np.exp(log_rate), {"units": "spikes/s"}),
        }
        return self._labelled(variables, counts, inputs, step)

    def _origin(self) -> dict[str, str]:
        """Return what every result says about the model that made it."""
        return {
            "estimator": self.name,
            "config_uid": self.config_uid,
            "checkpoint": self.arrays_digest_,
        }

    def _labelled(
        self, variables: Mapping[str, Any], counts: xr.Dataset, inputs: TrialCounts, step: str
    ) -> xr.Dataset:
        """Put the labels of the input and of the context on arrays."""
        context = self.context_
        start, n_bins = counts["time"].values[: context.n_time], context.n_time + context.n_forward
        later = start[-1] + context.bin_size * np.arange(1, context.n_forward + 1)
        coords: dict[str, Any] = {
            str(name): coord.variable
            for name, coord in counts.coords.items()
            if coord.dims == ("trial",)
        }
        coords["time"] = ("time", np.concatenate([start, later]), {"units": "s"})
        coords["forward"] = ("time", np.arange(n_bins) >= context.n_time)
        if any("unit" in variable[0] for variable in variables.values()):
            coords["unit"] = np.asarray(context.unit)
            coords["held_out"] = ("unit", np.asarray(context.held_out))
        ds = results(
            variables,
            coords,
            **self._origin(),
            bin_size=context.bin_size,
            n_unobserved=int((~inputs.observed).sum()),
            **{name: counts.attrs[name] for name in ("quality",) if name in counts.attrs},
        )
        return add_history(ds, step, **self._origin())


def counts_digest(counts: xr.Dataset) -> str:
    """Return the SHA-256 of what a model could learn from: counts, mask and labels."""
    digest = hashlib.sha256(repr((counts["count"].dims, counts["count"].shape)).encode())
    for name in ("count", "observed", "unit", "trial", "time", "held_out", "forward"):
        if name in counts.variables:
            values = counts[name].values
            text = values.dtype.kind in "OUST"
            digest.update(name.encode())
            digest.update(repr(values.tolist()).encode() if text else values.tobytes())
    return f"sha256:{digest.hexdigest()}"


def spike_scores(
    predicted: xr.Dataset, counts: xr.Dataset, context: DataContext, metric: str = "co_bps"
) -> xr.Dataset:
    """Score predicted rates against counts, in all and per trial.

    Parameters
    ----------
    predicted
        Rates [spikes/s] ``(trial, time, unit)``, as ``predict`` gives them.
    counts
        Counts ``(trial, time, unit)`` of the same trials; units in any order.
    context
        Which units are held out and which bins are forward ones.
    metric
        A name of :data:`METRICS`.

    Returns
    -------
    xr.Dataset
        The score [bits per spike] and ``nll``, ``null_nll`` [nats], ``n_spikes``, ``(trial,)``.

    Raises
    ------
    EmptySelectionError
        If there are no units or bins for this metric.
    DegenerateInputError
        If there is no spike.
    """
    one_of("metric", metric, METRICS)
    expected, count = _scored_part(predicted, counts, context, metric)
    each = {
        "nll": nll_per_bin(expected, count),
        "null_nll": nll_per_bin(null_expected_count(count), count),
        "n_spikes": count,
    }
    sums = {name: ("trial", np.nansum(values, axis=(1, 2))) for name, values in each.items()}
    score = {metric: ((), bits_per_spike(expected, count), {"units": "bits per spike"})}
    attrs = {key: predicted.attrs[key] for key in ("estimator", "config_uid", "checkpoint")}
    return results({**score, **sums}, {"trial": predicted["trial"]}, metric=metric, **attrs)


def _scored_part(
    predicted: xr.Dataset, counts: xr.Dataset, context: DataContext, metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return expected counts and counts (NaN where unobserved) of a metric's units and bins."""
    held_out, ahead = np.asarray(context.held_out), metric == "fp_bps"
    units = {"co_bps": held_out, "held_in_bps": ~held_out}.get(metric, np.ones_like(held_out))
    bins = slice(context.n_time, None) if ahead else slice(context.n_time)
    if not units.any() or (ahead and not context.n_forward):
        raise EmptySelectionError(
            f"there is nothing to compute {metric} from",
            found=f"{int(units.sum())} units, {context.n_forward} forward bins",
            expected=METRICS[metric],
            hint="mark held-out units (held_out) or forward bins (forward) in the counts",
        )
    target = context.targets(counts, forward=ahead)
    masked = np.where(target.observed, target.count, np.nan).astype(np.float64)
    expected = predicted["rate"].values[:, bins, units].astype(np.float64) * context.bin_size
    return expected, masked[:, bins, units]
