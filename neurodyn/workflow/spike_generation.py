"""Spikes that a fitted model generates, beside those that were recorded in the same time."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from neurodyn import recording as rec
from neurodyn.errors import DataError, DataQualityWarning
from neurodyn.metrics.generation import compare_generated
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.models.neuroformer.generation import Sampling
from neurodyn.transforms.restriction import restrict
from neurodyn.transforms.selection import select_units
from neurodyn.windows.time_folds import blocked_holdout, observed_time
from neurodyn.workflow.spike_recordings import SpikeData, reason, trials_of

__all__ = ["Generated", "generate", "generation_rows", "simulate_run"]

LEAST_BURN_IN = 2
"""Windows that are generated and left out, where stretches are long enough."""
TOO_SHORT = "Generated and recorded spikes were not compared: {}."


@dataclass(frozen=True)
class Generated:
    """Recordings of generated spikes and of those recorded meanwhile, and what was noticed."""

    generated: xr.DataTree
    recorded: xr.DataTree
    notes: tuple[str, ...] = ()


def generate(
    model: Neuroformer, data: xr.DataTree, *, burn_in: float | None = None, **settings: Any
) -> Generated:
    """Let a model run by itself through the observed time of a recording.

    Parameters
    ----------
    model
        Fitted.
    data
        Gives the first past, the stimulus, what else is read, and the trials.
    burn_in
        What is generated first and left out [s]; by default the longer of two windows and the
        past, or half of the longest stretch after its past where that is less.
    **settings
        Of :meth:`~neurodyn.models.neuroformer.estimator.Neuroformer.simulate`.

    Returns
    -------
    Generated
        ``recorded`` holds the units of ``generated``, in their order and in the time of its first
        sample; both have the trials. Parts that were stopped are told in ``notes``.

    Raises
    ------
    DataError, EmptySelectionError, ConfigError
        As generating does; if nothing was generated.
    """
    burn_in = _burn_in(model, data) if burn_in is None else burn_in
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataQualityWarning)
        generated = model.simulate(data, burn_in=burn_in, **settings)
    first = next(iter(rec.pick_all(generated, "spikes").values()))
    spikes = select_units(rec.pick(data, "spikes"), first["unit"].values.tolist())
    attrs = {str(name): value for name, value in data.attrs.items()}
    children = {"spikes": restrict(spikes, observed_time(first))}
    trials = trials_of(data)
    if trials is not None:
        children["trials"] = trials
        generated = generated.assign({"trials": xr.DataTree(trials)})
    notes = [f"Generated spikes: {warning.message}." for warning in caught]
    notes.append(f"The first {burn_in:g} s that were generated in each stretch were left out.")
    return Generated(generated, rec.recording(children, **attrs), tuple(notes))


def generation_rows(found: Generated, data: xr.DataTree) -> list[dict[str, Any]]:
    """Return distances of generated spikes from recorded ones, and those of halves of a recording.

    Parameters
    ----------
    found
        Of :func:`generate`; distances are means over its samples.
    data
        Cut into two halves, each of five blocks of time, whose distance is the ceiling.

    Returns
    -------
    list of dict
        ``statistic``, as :func:`neurodyn.metrics.compare_generated` calls it, ``generated`` and
        ``ceiling``; None where there is no number.

    Raises
    ------
    DataError, DegenerateInputError
        As comparing does.
    """
    samples = rec.pick_all(found.generated, "spikes").values()
    recorded = rec.pick(found.recorded, "spikes")
    distances = [compare_generated(recorded, sample) for sample in samples]
    halves = blocked_holdout(rec.pick(data, "spikes"), validation=0.5, gap=0.0)
    ceiling = compare_generated(*halves)
    return [
        {
            "statistic": str(name),
            "generated": _number(sum(float(each[name]) for each in distances) / len(distances)),
            "ceiling": _number(float(value)),
        }
        for name, value in ceiling.items()
        if value.ndim == 0
    ]


def simulate_run(
    run: str | Path,
    data: SpikeData,
    out: str | Path,
    *,
    n_samples: int = 1,
    seed: int = 0,
    past: Literal["generated", "true"] = "generated",
    burn_in: float | None = None,
    segment: float | None = None,
    sampling: Sampling | None = None,
) -> dict[str, Any]:
    """Generate spikes by the model of a run folder and write them as a recording.

    Parameters
    ----------
    run
        Run folder of a Neuroformer.
    data
        See :func:`neurodyn.workflow.open_spikes`.
    out
        netCDF file: ``/spikes``, or ``/spikes/sample_000`` and so on, and the trials.
    n_samples, seed, past, burn_in, segment, sampling
        As of :func:`generate`.

    Returns
    -------
    dict
        ``file``, ``generation`` as :func:`generation_rows` returns it, and ``notes``.

    Raises
    ------
    DataError, EmptySelectionError, ConfigError, CheckpointError
        As loading and generating do.
    """
    model = Neuroformer.load(run)
    found = generate(
        model,
        data.recording,
        burn_in=burn_in,
        n_samples=n_samples,
        seed=seed,
        past=past,
        segment=segment,
        sampling=sampling,
    )
    path = rec.save(found.generated, out)
    rows: list[dict[str, Any]] = []
    notes = [*data.notes, *found.notes]
    try:
        rows = generation_rows(found, data.recording)
    except DataError as error:
        notes.append(TOO_SHORT.format(reason(error)))
    return {"file": str(path), "generation": rows, "notes": notes}


def _burn_in(model: Neuroformer, data: xr.DataTree) -> float:
    config, windows = model.config, model.windows(data)
    wanted = max(LEAST_BURN_IN, math.ceil(round(config.past / config.window, 6)))
    longest = int(np.diff(windows.store.first).max())
    return min(wanted, (longest - windows.n_past) // windows.length // 2) * config.window


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
