"""What a model learned on: unit names, bin size and lengths, frozen beside its weights."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.config import from_dict, to_dict
from neurodyn.errors import DataError, EmptySelectionError, TimebaseError

__all__ = ["DataContext", "TrialCounts", "bin_flags"]

TOLERANCE = 1e-9


@dataclass(frozen=True)
class TrialCounts:
    """Counts ``(trial, time, unit)`` float32, 0 where ``observed`` (same shape, bool) is False."""

    count: NDArray[np.float32]
    observed: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class DataContext:
    """The data that a model is for; every later call is checked against it.

    Parameters
    ----------
    unit
        Unit ids in the order of the model's outputs.
    held_out
        Which units are targets only.
    bin_size
        Width of a bin [s].
    n_time
        Bins that the model sees.
    n_forward
        Bins after them that are targets only.

    Examples
    --------
    >>> from neurodyn import recording
    >>> ds = recording.counts(np.zeros((1, 4, 2)), bin_size=0.02, held_out=[False, True])
    >>> context = DataContext.of(ds)
    >>> context.n_time, context.n_inputs, context.n_units
    (4, 1, 2)
    """

    unit: tuple[str, ...]
    held_out: tuple[bool, ...]
    bin_size: float
    n_time: int
    n_forward: int

    @classmethod
    def of(cls, counts: xr.Dataset) -> DataContext:
        """Return the context of counts ``(trial, time, unit)``.

        Raises
        ------
        EmptySelectionError
            If there are no trials, no bins or no held-in units.
        TimebaseError
            If forward bins do not come last.
        """
        forward = bin_flags(counts)
        n_units = counts.sizes["unit"]
        held_out = counts["held_out"].values if "held_out" in counts.coords else [False] * n_units
        context = cls(
            unit=tuple(map(str, counts["unit"].values)),
            held_out=tuple(map(bool, held_out)),
            bin_size=float(counts.attrs["bin_size"]),
            n_time=int((~forward).sum()),
            n_forward=int(forward.sum()),
        )
        if not (counts.sizes["trial"] and context.n_time and context.n_inputs):
            raise EmptySelectionError(
                "there is nothing to learn from",
                found=f"{counts.sizes['trial']} trials of {context.n_time} bins that a model may"
                f" see, {context.n_inputs} held-in units",
            )
        return context

    @property
    def n_units(self) -> int:
        """Units that the model predicts."""
        return len(self.unit)

    @property
    def n_inputs(self) -> int:
        """Units that the model sees."""
        return self.n_units - sum(self.held_out)

    @property
    def held_in_index(self) -> NDArray[np.int64]:
        """Positions of the units that the model sees, shape ``(n_inputs,)``."""
        return np.flatnonzero(~np.asarray(self.held_out))

    def inputs(self, counts: xr.Dataset) -> TrialCounts:
        """Return what the model may see; held-out units and forward bins are not read.

        Parameters
        ----------
        counts
            Kind ``counts``, dims ``(trial, time, unit)``; units in any order.

        Raises
        ------
        DataError
            If held-in units are missing or unknown ones are present.
        TimebaseError
            If the bin size or the number of bins differs.
        """
        seen = [name for name, out in zip(self.unit, self.held_out) if not out]
        bins = ~self._checked_flags(counts)
        return _gather(_select(counts, self._positions(counts, seen), bins))

    def targets(self, counts: xr.Dataset, *, forward: bool = True) -> TrialCounts:
        """Return the counts of :meth:`target_counts` as arrays."""
        return _gather(self.target_counts(counts, forward=forward))

    def target_counts(self, counts: xr.Dataset, *, forward: bool = True) -> xr.Dataset:
        """Return all units in the order of the context.

        Parameters
        ----------
        counts
            Kind ``counts``, dims ``(trial, time, unit)``; units in any order.
        forward
            Give the forward bins too, which the counts must have.

        Raises
        ------
        DataError
            If units are missing or unknown ones are present.
        TimebaseError
            If the bin size or the number of bins, forward ones included, differs.
        """
        flags = self._checked_flags(counts)
        if forward and int(flags.sum()) != self.n_forward:
            raise TimebaseError(
                "counts have another number of forward bins than the model",
                found=int(flags.sum()),
                expected=self.n_forward,
            )
        bins = np.ones_like(flags) if forward else ~flags
        return _select(counts, self._positions(counts, self.unit), bins)

    def to_json(self) -> str:
        """Return the context as JSON text."""
        return json.dumps(to_dict(self))

    @classmethod
    def from_json(cls, text: str) -> DataContext:
        """Read what :meth:`to_json` wrote."""
        return from_dict(cls, json.loads(text), where="data context")

    def _positions(self, counts: xr.Dataset, wanted: list[str] | tuple[str, ...]) -> list[int]:
        labels = list(map(str, counts["unit"].values))
        unknown = sorted(set(labels) - set(self.unit))
        missing = [name for name in wanted if name not in set(labels)]
        if unknown or missing:
            raise DataError(
                "counts have other units than the model was fitted on",
                found=f"missing: {_shortened(missing)}; unknown: {_shortened(unknown)}",
                expected=f"{len(wanted)} units, in any order: {_shortened(wanted)}",
                hint="choose units by label, for example counts.sel(unit=list(context.unit))",
            )
        place = {name: position for position, name in enumerate(labels)}
        return [place[name] for name in wanted]

    def _checked_flags(self, counts: xr.Dataset) -> NDArray[np.bool_]:
        bin_size = float(counts.attrs["bin_size"])
        if not math.isclose(bin_size, self.bin_size, rel_tol=TOLERANCE):
            raise TimebaseError(
                "counts have another bin size than the model was fitted on",
                found=f"{bin_size:g} s",
                expected=f"{self.bin_size:g} s",
                hint=f"bin the spikes again with bin_size={self.bin_size:g}",
            )
        forward = bin_flags(counts)
        if int((~forward).sum()) != self.n_time:
            raise TimebaseError(
                "trials have another number of bins than the model was fitted on",
                found=f"{int((~forward).sum())} bins that the model may see",
                expected=self.n_time,
                hint="cut the trials to the window of the fit; forward bins carry forward=True",
            )
        return forward


def bin_flags(counts: xr.Dataset) -> NDArray[np.bool_]:
    """Return which bins are forward ones, shape ``(time,)``, and check that they come last.

    Raises
    ------
    TimebaseError
        If a bin that the model may see follows a forward one.
    """
    if "forward" not in counts.coords:
        return np.zeros(counts.sizes["time"], dtype=bool)
    forward = np.asarray(counts["forward"].values, dtype=bool)
    if (np.diff(forward.astype(np.int8)) < 0).any():
        raise TimebaseError("forward bins must follow all other bins", found=forward.tolist())
    return forward


def _select(counts: xr.Dataset, positions: list[int], bins: NDArray[np.bool_]) -> xr.Dataset:
    return counts.isel(unit=positions, time=np.flatnonzero(bins))


def _gather(part: xr.Dataset) -> TrialCounts:
    count = part["count"].transpose("trial", "time", "unit")
    values = np.asarray(count.values, dtype=np.float32)
    if "observed" not in part:
        return TrialCounts(values, np.ones(values.shape, dtype=bool))
    mask = part["observed"].broadcast_like(count).transpose("trial", "time", "unit")
    observed = np.ascontiguousarray(mask.values)
    return TrialCounts(np.where(observed, values, np.float32(0)), observed)


def _shortened(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(names[:5]) or "none"
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
