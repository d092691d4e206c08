"""Who drives whom, as a fitted model sees it, beside correlations at a lag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn import recording as rec
from neurodyn import report
from neurodyn.errors import DataError, EmptySelectionError
from neurodyn.metrics.connectivity import connectivity_table
from neurodyn.models import run_folder
from neurodyn.models.neuroformer.connectivity import Measure
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.transforms.binning import bin_spikes
from neurodyn.transforms.connectivity.spike_coupling import spike_coupling
from neurodyn.transforms.selection import select_units
from neurodyn.workflow.spike_recordings import SpikeData, reason

__all__ = ["connectivity_run"]

BASELINES = {"correlation": "lagged correlation", "partial": "lagged partial correlation"}
SHORTEST_LAG = 0.01
NAME = "connectivity"
NO_TRUTH = "Nothing is known of the true couplings: the scores are not judged."


def connectivity_run(
    run: str | Path,
    data: SpikeData,
    out: str | Path | None = None,
    *,
    measure: Measure = "deletion",
    lag: float | None = None,
    n_bootstrap: int = 500,
    seed: int = 0,
    truth: str | Path | None = None,
) -> dict[str, Any]:
    """Infer couplings by the model of a run folder, beside correlations of the same spikes.

    Parameters
    ----------
    run
        Run folder of a Neuroformer.
    data
        See :func:`neurodyn.workflow.open_spikes`.
    out
        netCDF file: ``score (measure, unit, unit_to)``, the model's first; ``direction``,
        ``lower`` and ``upper (unit, unit_to)`` of the model; ``weight`` where it is known. If not
        given it goes into the run folder, whose report then shows it.
    measure, n_bootstrap, seed
        See :func:`neurodyn.models.neuroformer.connectivity.connectivity`.
    lag
        Longest lag [s] of all measures but attention; 10 ms or a bin, if that is longer.
    truth
        netCDF file with ``weight (unit, unit_to)``; by default what ``data`` know of it.

    Returns
    -------
    dict
        ``file``; ``connectivity``, rows of ``measure`` and, against a truth, ``auc``,
        ``average_precision`` and ``direction_accuracy`` with intervals over units; ``notes``.

    Raises
    ------
    ConfigError
        For an unknown measure.
    DataError, EmptySelectionError, CheckpointError
        As loading does; if the truth lacks weights or units.
    """
    model = Neuroformer.load(run)
    weight = _weight(data, truth)
    lag = max(SHORTEST_LAG, model.config.bin_size) if lag is None else lag
    found = model.connectivity(data.recording, measure, lag=lag, n_bootstrap=n_bootstrap, seed=seed)
    scores = {str(measure): found["score"]}
    notes = [*data.notes, *_baselines(model, data.recording, lag, scores)]
    pairs = {"unit": found["unit"].values, "unit_to": found["unit"].values}
    result = found.assign(score=_together(scores, pairs))
    if weight is None:
        notes.append(NO_TRUTH)
    else:
        result["weight"] = weight.reindex(pairs)
    rows = [_row(name, result, notes) for name in scores]
    return {**_written(result, rows, Path(run), out), "notes": notes}


def _weight(data: SpikeData, truth: str | Path | None) -> xr.DataArray | None:
    """Return true weights ``(unit, unit_to)`` of at least the recorded units, if they are known."""
    known: xr.Dataset | None = data.truth if truth is None else rec.load(truth)
    if known is None or "weight" not in known:
        if known is None or truth is None:
            return None
        found = ", ".join(map(str, known)) or "nothing"
        raise EmptySelectionError(
            "the truth has no weights", where=truth, found=found, expected="weight (unit, unit_to)"
        )
    weight: xr.DataArray = known["weight"].transpose("unit", "unit_to")
    units = {*rec.pick(data.recording, "spikes")["unit"].values.tolist()}
    missing = sorted(units - {*weight["unit"].values.tolist()})
    if missing:
        raise EmptySelectionError(
            "the truth lacks units", where=truth, found=", ".join(map(str, missing[:8]))
        )
    return weight


def _together(scores: Mapping[str, xr.DataArray], pairs: Mapping[str, Any]) -> xr.DataArray:
    """Return scores ``(measure, unit, unit_to)`` of the same pairs."""
    each = [score.reindex(pairs) for score in scores.values()]
    found = xr.concat(each, "measure", coords="minimal", compat="override")
    return found.assign_coords(measure=list(scores))


def _baselines(
    model: Neuroformer, data: xr.DataTree, lag: float, scores: dict[str, xr.DataArray]
) -> list[str]:
    """Add scores of correlations, and say which could not be had."""
    notes = []
    for kind, label in BASELINES.items():
        try:
            scores[label] = _coupling(model, data, kind, lag)
        except DataError as error:
            notes.append(f"There is no {label}: {reason(error)}.")
    return notes


def _coupling(model: Neuroformer, data: xr.DataTree, kind: Any, lag: float) -> xr.DataArray:
    """Return the correlation of counts in the model's bins, the strongest over lags."""
    bin_size = model.config.bin_size
    spikes = rec.pick(data, "spikes")
    known = [unit for unit in model.context_.tokenizer.units if unit in spikes["unit"].values]
    counts = bin_spikes(select_units(spikes, known), bin_size)
    steps = range(1, max(1, round(lag / bin_size)) + 1)
    return spike_coupling(counts, kind, lags=[step * bin_size for step in steps])["score"]


def _row(name: str, result: xr.Dataset, notes: list[str]) -> dict[str, Any]:
    """Return how well a score finds the true edges, if they are known and tell something."""
    row: dict[str, Any] = {"measure": name}
    if name in BASELINES.values():
        row["baseline"] = name.replace(" ", "_")
    if "weight" not in result:
        return row
    score = result["score"].sel(measure=name)
    known = score.notnull().any("unit_to").values
    values, edge = (
        matrix.values[np.ix_(known, known)] for matrix in (score, result["weight"] != 0.0)
    )
    try:
        table = connectivity_table(values, edge)
    except DataError as error:
        notes.append(f"The {name} was not judged: {reason(error)}.")
        return row
    for metric in table["metric"].values:
        value, low, high = (
            float(table[part].sel(metric=metric)) for part in ("value", "low", "high")
        )
        row |= {str(metric): value, f"{metric}_low": low, f"{metric}_high": high}
    return row


def _written(
    result: xr.Dataset, rows: list[dict[str, Any]], run: Path, out: str | Path | None
) -> dict[str, Any]:
    """Write couplings to a file, or into the run folder and its report."""
    if out is not None:
        return {"file": str(rec.save(result, out)), NAME: rows}
    path = rec.save(result, run / f"{NAME}.nc")
    run_folder.commit(run)
    metrics = run / run_folder.METRICS
    known = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else {}
    judged = [row for row in rows if "auc" in row]
    run_folder.record(run, metrics={**known, NAME: judged})
    page = report.write_report(run)
    run_folder.commit(run)
    return {"file": str(path), "report": str(page), NAME: rows}
