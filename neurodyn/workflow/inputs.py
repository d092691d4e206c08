"""What a fitted model reads, made of files as its kind of data asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurodyn.errors import ConfigError
from neurodyn.io.faults import OnBad
from neurodyn.models.base import Estimator
from neurodyn.workflow.bold import open_bold
from neurodyn.workflow.data import open_counts
from neurodyn.workflow.spike_recordings import open_spikes
from neurodyn.workflow.traces import open_traces

__all__ = ["inputs_for", "only_file"]


def inputs_for(
    model: Estimator[Any],
    paths: Sequence[str | Path],
    *,
    event: str | None = None,
    window: tuple[float, float] | None = None,
    on_bad: OnBad = "raise",
    **reading: Any,
) -> xr.Dataset | xr.DataTree:
    """Open files as the data that a fitted model takes.

    Parameters
    ----------
    model
        Fitted.
    paths
        One recording of spikes, or the name of one; files of traces, one for each animal; or fMRI
        runs.
    event, window
        Of counts, as in :func:`neurodyn.workflow.open_counts`.
    on_bad
        What to do about faults of the files.
    **reading
        Options of the reader.

    Raises
    ------
    ConfigError
        For several recordings of spikes.
    FileError, DataError
        As opening does.
    """
    if model.data_kind == "counts":
        context: Any = getattr(model, "context_")  # noqa: B009
        path = only_file(paths, model.name)
        opened = open_counts(path, context.bin_size, event=event, window=window, on_bad=on_bad)
        return opened.counts
    if model.data_kind == "spikes":
        return open_spikes(only_file(paths, model.name), on_bad=on_bad).recording
    if model.data_kind == "signal":
        return open_traces(paths, on_bad=on_bad, **reading).traces
    return open_bold(paths, on_bad=on_bad, **reading).recording


def only_file(paths: Sequence[str | Path], model: str) -> Path:
    """Return the one recording that a model of spikes takes.

    Raises
    ------
    ConfigError
        If there are several.

    Examples
    --------
    >>> only_file(["session.nwb"], "gru").name
    'session.nwb'
    """
    if len(paths) != 1:
        raise ConfigError(
            f"{model} takes one recording",
            found=f"{len(paths)} files",
            hint="one by one, each with a folder of its own",
        )
    return Path(paths[0])
