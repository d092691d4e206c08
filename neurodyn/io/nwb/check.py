"""List everything that is wrong with an NWB file, or worth knowing about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.errors import NeurodynError
from neurodyn.io.faults import Fault, Quality, Severity
from neurodyn.io.nwb.inventory import Entry
from neurodyn.io.nwb.options import Options
from neurodyn.io.nwb.reader import Reader

__all__ = ["check_nwb"]

BLOCK_BYTES = 8_000_000
COARSE = 1e-4
# what reading counts without objecting to it
COUNTED: dict[str, tuple[Severity, str]] = {
    "negative_spikes": ("note", "spikes lie before time zero"),
    "duplicate_spikes": ("note", "spikes have exactly the time of the one before"),
    "spikes_outside_observation": ("note", "spikes lie outside their observation intervals"),
    "repeated_unit_ids": ("warning", "unit ids are repeated and were numbered"),
    "repeated_trial_ids": ("warning", "trial ids are repeated and were numbered"),
    "possibly_transposed_series": ("warning", "series has far more columns than samples"),
    "gaps": ("note", "gaps in the timestamps"),
}


def check_nwb(source: Any, *, allow_external: Any = (), **options: Any) -> list[Fault]:
    """List all faults of an NWB file; parameters as :func:`neurodyn.io.nwb.open_nwb`.

    Raises
    ------
    FileError
        If the file as a whole cannot be read.
    """
    reader = Reader(source, allow_external, Options(**options))
    try:
        faults = [
            Fault(
                "error" if item.broken else "note",
                "broken_object" if item.broken else "not_read",
                item.path,
                f"{item.neurodata_type} {item.reason}".strip(),
            )
            for item in reader.unread
        ]
        for entry in reader.entries:
            faults.extend(_of_entry(reader, entry))
        return faults
    finally:
        reader.file.close()


def _of_entry(reader: Reader, entry: Entry) -> Iterator[Fault]:
    # with "warn" reading goes on after each fault and collects them all
    quality = Quality("warn")
    child = None
    try:
        child = reader.read(entry, quality)
    except NeurodynError as error:
        yield Fault.of(f"faulty_{entry.kind}", error)
    yield from quality.faults
    for code, n in quality.counts.items():
        if code in COUNTED:
            severity, text = COUNTED[code]
            yield Fault(severity, code, entry.path, f"{n} {text}" if n > 1 else text)
    if child is None:
        return
    if entry.kind == "spikes":
        yield from _coarse_times(child, entry)
    elif entry.reader == "intervals":
        yield from _order_of_trials(child, entry)
    elif entry.reader == "series":
        yield from _samples(child, entry)


def _coarse_times(spikes: xr.Dataset, entry: Entry) -> Iterator[Fault]:
    if "stored_dtype" not in spikes.attrs:
        return
    latest = np.abs(spikes["spike_time"].values).max()
    step = float(np.spacing(latest.astype(spikes.attrs["stored_dtype"])))
    if step > COARSE:
        text = f"times are {spikes.attrs['stored_dtype']}: steps of {step * 1e3:.2g} ms at the end"
        yield Fault("warning", "coarse_spike_times", entry.path, text, "bins must be far wider")


def _order_of_trials(trials: xr.Dataset, entry: Entry) -> Iterator[Fault]:
    start, stop = trials["start"].values, trials["stop"].values
    order = np.argsort(start, kind="stable")
    if (np.diff(start) < 0).any():
        yield Fault("note", "unsorted_trials", entry.path, "trials are not in order of time")
    n_overlapping = int(np.count_nonzero(stop[order][:-1] > start[order][1:]))
    if n_overlapping:
        text = f"{n_overlapping} trials overlap the next one"
        yield Fault("note", "overlapping_trials", entry.path, text, "splits refuse such trials")


def _samples(child: xr.Dataset, entry: Entry) -> Iterator[Fault]:
    """Read all samples block by block; damage and channels without a number are faults."""
    values = child["signal" if entry.kind == "signal" else "value"]
    n_time, n_columns = values.shape
    step = max(1, BLOCK_BYTES // max(1, n_columns * values.dtype.itemsize))
    finite = np.zeros(n_columns, dtype=bool)
    try:
        for first in range(0, n_time, step):
            finite |= np.isfinite(values[first : first + step].values).any(axis=0)
    except NeurodynError as error:
        yield Fault.of("unreadable_samples", error)
        return
    if n_time and not finite.all():
        names = ", ".join(map(str, child[str(values.dims[1])].values[~finite].tolist()))
        text = f"channels without any finite sample: {names}"
        yield Fault("warning", "empty_channels", entry.path, text)
