"""What a report reads: the files of a run folder, whichever there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn import recording as rec
from neurodyn.errors import CorruptFileError, EmptySelectionError
from neurodyn.provenance import history
from neurodyn.training.history import read_history

OTHERS = (
    "rank_scan",
    "stages",
    "stimuli",
    "recorded",
    "generated",
    "decoded",
    "connectivity",
)

__all__ = ["Run", "merge_results", "read_run"]


@dataclass(frozen=True)
class Run:
    """What a run folder holds; whatever is missing is empty."""

    name: str
    results: xr.Dataset
    metrics: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    manifest: Mapping[str, Any]
    config: str
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Name of the model that the run is about."""
        return str(self.metrics.get("headline") or self.manifest.get("estimator") or self.name)

    @property
    def version(self) -> str:
        """Of neurodyn, with which it was written."""
        return str(dict(self.manifest.get("versions") or {}).get("neurodyn", "of unknown version"))

    def listed(self, name: str) -> list[tuple[str, Any]]:
        """Return a mapping of the manifest (versions, inputs, files) in sorted order."""
        return sorted(dict(self.manifest.get(name) or {}).items())


def merge_results(
    prediction: xr.Dataset,
    *more: xr.Dataset,
    counts: xr.Dataset | None = None,
    truth: xr.Dataset | None = None,
) -> xr.Dataset:
    """Bring what a run found into the one dataset that ``results.nc`` holds.

    Parameters
    ----------
    prediction
        Result with ``rate`` ``(trial, time, unit)``; its attributes are kept.
    *more
        Further results with other variables: of ``transform``, dispersion, shuffles.
    counts
        Kind ``counts``, of at least the predicted trials, bins and units; how they came about
        (``history``, ``quality``) is kept too.
    truth
        Result with the true ``rate``, likewise.

    Raises
    ------
    EmptySelectionError
        If counts, truth or a further result lack labels of the prediction.

    Examples
    --------
    >>> rate = xr.Dataset({"rate": (("trial", "time", "unit"), [[[2.0]]])})
    >>> rate = rate.assign_coords(trial=[3], time=[0.0], unit=["a"])
    >>> list(merge_results(rate, truth=rate))
    ['rate', 'true_rate']
    """
    parts = [*more]
    if counts is not None:
        parts.append(counts[[name for name in ("count", "observed") if name in counts]])
        prediction = prediction.assign_attrs(_origin(prediction, counts))
    if truth is not None:
        parts.append(truth[["rate"]].rename(rate="true_rate"))
    labels = {
        name: prediction[name].values for name in ("trial", "time", "unit") if name in prediction
    }
    merged = prediction
    for part in parts:
        shared = {name: values for name, values in labels.items() if name in part.indexes}
        missing = [name for name, values in shared.items() if not np.isin(values, part[name]).all()]
        if missing:
            raise EmptySelectionError(
                f"a result lacks labels of the prediction along {missing[0]}",
                found=", ".join(map(str, part.data_vars)),
            )
        known = [name for name in part.variables if name in merged.variables]
        kept = part.sel(shared).drop_vars([name for name in known if name not in part.indexes])
        merged = merged.merge(kept, join="exact", combine_attrs="override")
    return merged


def _origin(prediction: xr.Dataset, counts: xr.Dataset) -> dict[str, Any]:
    """Return attributes that say how the counts came about and what was made of them."""
    before, after = history(counts), history(prediction)
    steps = after if after[: len(before)] == before else [*before, *after]
    kept = {name: counts.attrs[name] for name in ("bin_size", "quality") if name in counts.attrs}
    return {**kept, "history": json.dumps(steps)}


def read_run(folder: str | Path) -> Run:
    """Read what a run folder holds; files that are missing leave their part empty.

    Raises
    ------
    FileNotFoundError, EmptySelectionError, CorruptFileError
        As :func:`write_report`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such run folder: {folder}")
    results, rows = folder / "results.nc", folder / "history.jsonl"
    config = folder / "config.toml"
    run = Run(
        name=folder.resolve().name,
        results=rec.load(results) if results.is_file() else xr.Dataset(),
        metrics=_json(folder / "metrics.json"),
        history=read_history(rows) if rows.is_file() else [],
        manifest=_json(folder / "manifest.json"),
        config=config.read_text(encoding="utf-8") if config.is_file() else "",
        others={
            name: rec.load(folder / f"{name}.nc")
            for name in OTHERS
            if (folder / f"{name}.nc").is_file()
        },
    )
    if not (run.results or run.metrics or run.history):
        raise EmptySelectionError(
            "the folder holds no run",
            where=folder,
            expected="results.nc, metrics.json or history.jsonl",
            hint="neurodyn fit ... --folder RUN writes one",
        )
    return run


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CorruptFileError("not a JSON object", where=path, found=error) from error
