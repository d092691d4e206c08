"""From a recording to its windows of tokens, with the stimulus and behavior that are read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import EmptySelectionError
from neurodyn.models.neuroformer.config import NeuroformerConfig, StimulusInput
from neurodyn.models.neuroformer.mark_levels import mark_levels
from neurodyn.models.neuroformer.sampled_series import SampledSeries
from neurodyn.models.neuroformer.token_store import TokenStore, amplitudes_of
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
from neurodyn.recording import pick
from neurodyn.recording.access import physical, pick_behavior
from neurodyn.transforms.intervals import Intervals, intersection
from neurodyn.windows.time_folds import observed_time

__all__ = ["stretches_of", "token_windows", "tokenizer_for"]


def tokenizer_for(recording: xr.DataTree | xr.Dataset, config: NeuroformerConfig) -> SpikeTokenizer:
    """Return a vocabulary of the units of a recording, and the levels of their amplitudes.

    Levels, where the settings have marks, are quantiles of this recording's events: it should be
    the one that is trained on.

    Raises
    ------
    DataError
        If spikes have no amplitude and the settings have marks.
    EmptySelectionError
        If there are no events whose amplitudes could be marks.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> tokenizer_for(spikes_from_units({"a": [0.5]}), NeuroformerConfig()).units
    ('a',)
    """
    spikes = pick(recording, "spikes")
    units = tuple(map(str, spikes["unit"].values))
    tokenizer = SpikeTokenizer(units=units, bin_size=config.bin_size, n_bins=config.n_bins)
    if not config.n_marks:
        return tokenizer
    edges, values = mark_levels(amplitudes_of(spikes), spikes["row_size"].values, config.n_marks)
    return replace(tokenizer, mark_edges=edges, mark_values=values)


def token_windows(
    recording: xr.DataTree | xr.Dataset,
    config: NeuroformerConfig,
    tokenizer: SpikeTokenizer | None = None,
    *,
    step: int | None = None,
) -> TokenWindows:
    """Return the windows of a recording, with what the settings read besides spikes.

    Parameters
    ----------
    recording
        Spikes; a stimulus (kind ``signal``) and behaviors as ``config`` names them. A behavior is
        named by its child or, if one child alone has it, by its feature.
    config
        Settings.
    tokenizer
        Vocabulary; that of the recording if not given.
    step
        Bins from one window to the next; by default a window.

    Raises
    ------
    EmptySelectionError
        If there are no spikes, no stimulus or behavior that is read, or no window.
    DataError
        For units that the vocabulary lacks; if several children or none could be meant.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.05, 0.121]}, observed=[[0.0, 0.3]])
    >>> len(token_windows(spikes, NeuroformerConfig(bin_size=0.01, window=0.05, past=0.1)))
    4
    """
    tokenizer = tokenizer_for(recording, config) if tokenizer is None else tokenizer
    store = TokenStore(recording, tokenizer, stretches_of(recording, config))
    series = {}
    if config.stimulus is not None:
        series["stimulus"] = _stimulus(recording, config.stimulus)
    read, decoded = ([one.name for one in part] for part in (config.behavior, config.targets))
    for name in dict.fromkeys(read + decoded):
        series[name] = _samples(pick_behavior(recording, name))
    return TokenWindows(store, config, series, step=step)


def stretches_of(recording: xr.DataTree | xr.Dataset, config: NeuroformerConfig) -> Intervals:
    """Return the intervals [s] in which windows may lie, shape ``(stretch, 2)``.

    What was observed of all units, or from the first spike to the last where nothing is said of
    it; of this the trials, if the settings ask for them.

    Raises
    ------
    EmptySelectionError
        If nothing was observed, or no trial of it.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.5]}, observed=[[0.0, 1.0]])
    >>> stretches_of(spikes, NeuroformerConfig()).tolist()
    [[0.0, 1.0]]
    """
    found = observed_time(recording)
    if config.stretches == "trials":
        trials = pick(recording, "trials")
        span = np.column_stack([trials["start"].values, trials["stop"].values])
        parts = [intersection(trial[None], found) for trial in span[np.argsort(span[:, 0])]]
        # trials that touch stay two stretches
        found = np.concatenate([np.empty((0, 2)), *parts])
        if not len(found):
            raise EmptySelectionError(
                "no trial lies in what was observed of all units",
                found=f"{len(span)} trials",
                expected="one at least",
                hint="stretches='observed' reads what is between trials too",
            )
    return found


def _stimulus(recording: xr.DataTree | xr.Dataset, stimulus: StimulusInput) -> SampledSeries:
    signal = pick(recording, "signal", stimulus.name)
    array = physical(signal)
    values = array.transpose("time", ...).values
    if stimulus.kind == "video":
        values = values.reshape(len(values), 1, *_frame_shape(signal, values.shape[1]))
    return SampledSeries(values, array["time"].values)


def _frame_shape(signal: xr.Dataset, n_pixels: int) -> tuple[int, int]:
    height, width = (int(signal.attrs.get(name, 0)) for name in ("height", "width"))
    if height * width != n_pixels:
        raise EmptySelectionError(
            "the signal is no video",
            found=f"{n_pixels} channels, height={height or None} and width={width or None}",
            expected="a channel for each pixel, and attributes height and width",
            hint="StimulusInput(kind='features') reads channels",
        )
    return height, width


def _samples(behavior: xr.Dataset) -> SampledSeries:
    values: NDArray[np.float32] = behavior["value"].transpose("time", "feature").values
    return SampledSeries(values, behavior["time"].values)
