"""Behavior decoded from spikes, from the stimulus, or from both, at given instants.

What a model that decodes behavior has to beat on the same instants: ridge or lasso on lagged
counts, or a small recurrent network over the same lags.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.config import assign
from neurodyn.errors import ConfigError, DataError, EmptySelectionError, TimebaseError
from neurodyn.models.baselines.behavior_decoding_config import (
    GRU_TRAINING,
    PENALTIES,
    BehaviorDecodingConfig,
)
from neurodyn.models.baselines.lagged_inputs import SPIKES, lagged_inputs, n_lags
from neurodyn.models.baselines.linear_decoding import fit_linear_readout
from neurodyn.recording import results
from neurodyn.recording.access import pick_behavior
from neurodyn.training.config import TrainingConfig
from neurodyn.windows.time_folds import observed_time

__all__ = [
    "BehaviorDecoder",
    "BehaviorDecodingConfig",
    "decoding_instants",
    "fit_behavior_decoder",
    "predict_behavior",
]

FloatArray = NDArray[np.float64]


class Scaling(NamedTuple):
    """Means and deviations of inputs, ``(input,)``, and of features of the behavior."""

    input_mean: FloatArray
    input_scale: FloatArray
    target_mean: FloatArray
    target_scale: FloatArray

    @classmethod
    def of(cls, inputs: FloatArray, target: FloatArray, raw: NDArray[np.bool_]) -> Scaling:
        """Return those of training data; inputs that stay ``raw`` have 0 and 1."""
        mean, scale = inputs.mean(axis=(0, 1)), _deviation(inputs, (0, 1))
        centre, width = target.mean(axis=0), _deviation(target, (0,))
        return cls(np.where(raw, 0.0, mean), np.where(raw, 1.0, scale), centre, width)

    def inputs(self, inputs: FloatArray) -> FloatArray:
        """Return inputs that are scaled."""
        return np.asarray((inputs - self.input_mean) / self.input_scale)

    def target(self, target: FloatArray) -> FloatArray:
        """Return a behavior that is scaled."""
        return np.asarray((target - self.target_mean) / self.target_scale)

    def physical(self, scaled: FloatArray) -> FloatArray:
        """Return a scaled behavior in physical units."""
        return np.asarray(scaled * self.target_scale + self.target_mean)


class Readout(Protocol):
    """What maps inputs to behavior."""

    def predict(self, inputs: FloatArray) -> FloatArray:
        """Return the behavior, ``(instant, feature)``, of inputs ``(instant, lag, input)``."""
        ...


@dataclass(frozen=True, eq=False)
class BehaviorDecoder:
    """A fitted decoder.

    Parameters
    ----------
    config, name
        Settings, and the name of the behavior.
    feature
        Labels of what is decoded, ``(feature,)``.
    inputs
        Labels of what is read, units and channels of the stimulus, ``(input,)``.
    scaling
        Of inputs and behavior.
    readout
        The map: its weights and penalties, or a network.
    """

    config: BehaviorDecodingConfig
    name: str
    feature: NDArray[Any]
    inputs: tuple[str, ...]
    scaling: Scaling
    readout: Readout


def fit_behavior_decoder(
    train: xr.DataTree | xr.Dataset,
    name: str,
    config: BehaviorDecodingConfig | None = None,
    *,
    time: ArrayLike | None = None,
    training: TrainingConfig = GRU_TRAINING,
    **settings: Any,
) -> BehaviorDecoder:
    """Fit a decoder of a behavior at instants of a training part.

    Features at an instant ``t`` are what happened in bins that begin at ``t + lag``: the counts
    of each unit, the mean of each channel of the stimulus.

    Parameters
    ----------
    train
        Spikes, the behavior and, if it is read, a stimulus of kind ``signal``. Nothing else is
        ever looked at: penalties and the stop of a GRU are chosen on blocks of it, from which
        training instants that share bins with them are left out.
    name
        Of the behavior, as in :func:`neurodyn.recording.access.pick_behavior`.
    config, **settings
        Settings, and single ones such as ``kind="lasso"``.
    time
        Instants [s]; those of :func:`decoding_instants` if not given.
    training
        Of a GRU; its seed is that of ``config``.

    Raises
    ------
    ConfigError
        For an unknown setting or one out of range.
    EmptySelectionError
        If spikes, behavior or stimulus are missing, or too few instants are known.

    Examples
    --------
    >>> from neurodyn.recording import behavior, recording, spikes_from_units
    >>> place = behavior(np.tile([0.0, 1.0], 50), sampling_rate=1.0, feature=["x"])
    >>> spikes = spikes_from_units({"a": np.arange(1.2, 100.0, 2.0)}, observed=[[0.0, 100.0]])
    >>> data = recording([spikes, place])
    >>> decoder = fit_behavior_decoder(data, "x", bin_size=0.5, lags=(0.0, 0.5), time=range(100))
    >>> predict_behavior(decoder, data, [50.0, 51.0])["predicted"].values.ravel().round(1)
    array([0., 1.])
    """
    config = assign(config or BehaviorDecodingConfig(), settings)
    instants = decoding_instants(train, config) if time is None else _instants(time)
    behavior = pick_behavior(train, name)
    target = _last_samples(behavior, instants, config.bin_size)
    inputs, labels = _inputs(train, instants, config)
    known = _known(inputs, target, instants, name, 2 * config.n_inner_folds)
    inputs, target = inputs[known], target[known]
    scaling = Scaling.of(inputs, target, raw=_raw(labels, config.kind))
    readout = _fit(
        scaling.inputs(inputs), scaling.target(target), instants[known], config, training
    )
    feature = behavior["feature"].values
    return BehaviorDecoder(config, name, feature, tuple(labels), scaling, readout)


def predict_behavior(
    decoder: BehaviorDecoder, recording: xr.DataTree | xr.Dataset, time: ArrayLike
) -> xr.Dataset:
    """Decode a behavior at instants of a recording, and say what it was.

    Parameters
    ----------
    decoder
        Of :func:`fit_behavior_decoder`.
    recording
        With the units, stimulus and behavior of the training part.
    time
        Instants [s], shape ``(time,)``.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``predicted(time, feature)``, NaN where lags do not lie wholly inside
        one observed interval, and ``true(time, feature)``, the last sample at or before the
        instant, NaN where there is none in the ``bin_size`` before; both float64 in physical
        units.

    Raises
    ------
    DataError
        If units or channels differ from those of the decoder.
    EmptySelectionError
        If spikes, behavior or stimulus are missing.
    TimebaseError
        If an instant is not finite.

    Examples
    --------
    See :func:`fit_behavior_decoder`.
    """
    instants = _instants(time)
    inputs, labels = _inputs(recording, instants, decoder.config)
    if tuple(labels) != decoder.inputs:
        raise DataError(
            "units or channels are not those of the decoder",
            found=f"{len(labels)} inputs",
            expected=f"the {len(decoder.inputs)} inputs of the fit, in the same order",
        )
    behavior = pick_behavior(recording, decoder.name)
    behavior = behavior.sel(feature=decoder.feature)
    known = np.isfinite(inputs).all(axis=(1, 2))
    predicted = np.full((instants.size, decoder.feature.size), np.nan)
    if known.any():
        scaled = decoder.readout.predict(decoder.scaling.inputs(inputs[known]))
        predicted[known] = decoder.scaling.physical(scaled)
    true = _last_samples(behavior, instants, decoder.config.bin_size)
    coords: dict[str, Any] = {"time": ("time", instants, {"units": "s"})}
    coords["feature"] = decoder.feature
    if "feature_units" in behavior.coords:
        coords["feature_units"] = ("feature", behavior["feature_units"].values)
    dims = ("time", "feature")
    attrs = {"behavior": decoder.name, "decoder": decoder.config.kind}
    return results({"predicted": (dims, predicted), "true": (dims, true)}, coords, **attrs)


def decoding_instants(
    recording: xr.DataTree | xr.Dataset,
    config: BehaviorDecodingConfig,
    *,
    step: float | None = None,
) -> FloatArray:
    """Return instants [s] whose lags lie inside one observed interval, shape ``(time,)``.

    Parameters
    ----------
    recording
        Spikes, or a recording that has them.
    config
        Settings.
    step
        From one instant to the next [s]; by default ``bin_size``, so that no count is read twice
        at the same lag.

    Raises
    ------
    ConfigError
        If ``step`` is not positive.
    EmptySelectionError
        If no interval is long enough.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.5]}, observed=[[1.0, 2.5]])
    >>> decoding_instants(spikes, BehaviorDecodingConfig())
    array([1.5 , 1.75, 2.  ])
    """
    step = config.bin_size if step is None else step
    if not step > 0:
        raise ConfigError("step must be positive", found=step, expected="seconds")
    length = n_lags(config.lags, config.bin_size) * config.bin_size
    observed = observed_time(recording)
    # rounded: float noise of the edges is not to cost an instant
    number = np.floor(np.round((np.diff(observed)[:, 0] - length) / step, 6)).astype(int) + 1
    if not (number > 0).any():
        raise EmptySelectionError(
            "no instant has its lags inside an observed interval",
            found=f"intervals of up to {np.diff(observed).max():g} s",
            expected=f"at least {length:g} s",
        )
    parts = [
        begin - config.lags[0] + np.arange(max(count, 0)) * step
        for begin, count in zip(observed[:, 0], number)
    ]
    return np.asarray(np.round(np.concatenate(parts), 9))


def _instants(time: ArrayLike) -> FloatArray:
    instants = np.asarray(time, dtype=np.float64).reshape(-1)
    if not np.isfinite(instants).all():
        raise TimebaseError(
            "instants must be finite", found=f"{int((~np.isfinite(instants)).sum())} are not"
        )
    return instants


def _deviation(values: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """Return the deviation, 1 where nothing varies."""
    found = values.std(axis=axes)
    return np.where(found > 1e-9 * np.abs(values.mean(axis=axes)), found, 1.0)


def _last_samples(behavior: xr.Dataset, instants: FloatArray, oldest: float) -> FloatArray:
    """Return the last sample at or before each instant, NaN where none is recent."""
    clock = behavior["time"].values
    values = behavior["value"].transpose("time", "feature").values.astype(np.float64)
    found = np.searchsorted(clock, instants, side="right") - 1
    # rounded as in decoding_instants
    exists = (found >= 0) & (np.round(instants - clock[np.maximum(found, 0)], 9) <= oldest)
    return np.where(exists[:, None], values[np.maximum(found, 0)], np.nan)


def _inputs(
    recording: xr.DataTree | xr.Dataset, instants: FloatArray, config: BehaviorDecodingConfig
) -> tuple[FloatArray, list[str]]:
    return lagged_inputs(
        recording,
        instants,
        config.inputs,
        bin_size=config.bin_size,
        lags=config.lags,
        root=config.transform == "sqrt",
        stimulus=config.stimulus,
    )


def _known(
    inputs: FloatArray, target: FloatArray, instants: FloatArray, name: str, fewest: int
) -> NDArray[np.int64]:
    """Return the instants, in order of time, at which inputs and behavior are known."""
    known = np.flatnonzero(np.isfinite(inputs).all(axis=(1, 2)) & np.isfinite(target).all(axis=1))
    if known.size < fewest:
        raise EmptySelectionError(
            f"{name!r} and what it is decoded from are known at too few instants",
            found=f"{known.size} of {instants.size}",
            expected=f"at least {fewest}",
            hint="lags have to lie inside one observed interval",
        )
    return known[np.argsort(instants[known], kind="stable")]


def _raw(labels: list[str], kind: str) -> NDArray[np.bool_]:
    """Return which inputs are not scaled: a penalty shrinks rare units more than active ones."""
    return np.array([kind != "gru" and label.startswith(SPIKES) for label in labels])


def _fit(
    inputs: FloatArray,
    target: FloatArray,
    time: FloatArray,
    config: BehaviorDecodingConfig,
    training: TrainingConfig,
) -> Readout:
    # so far apart instants share no bin
    reach = n_lags(config.lags, config.bin_size) * config.bin_size
    if config.kind != "gru":
        return fit_linear_readout(
            inputs,
            target,
            time,
            kind=config.kind,
            penalties=config.penalties or PENALTIES[config.kind],
            n_folds=config.n_inner_folds,
            reach=reach,
        )
    from neurodyn.models.baselines.gru_decoding import fit_gru_readout

    return fit_gru_readout(
        inputs,
        target,
        time,
        hidden_size=config.hidden_size,
        dropout=config.dropout,
        validation=1.0 / config.n_inner_folds,
        reach=reach,
        training=replace(training, seed=config.seed),
    )
