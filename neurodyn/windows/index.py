"""An integer index of windows over time-major counts; xarray stops here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, EmptySelectionError, TimebaseError
from neurodyn.recording import pick

if TYPE_CHECKING:
    import torch

__all__ = ["Windows"]


class Windows:
    """Windows of equal length over counts, gathered in batches of tensors.

    Counts of trials ``(trial, time, unit)`` are seen as rows ``(trial * time, unit)`` without a
    copy; no window reaches from one trial into the next. Unobserved bins give 0 and
    ``observed`` False.

    Parameters
    ----------
    recording
        Counts, or a recording that has them.
    length
        Bins of a window; by default a whole trial.
    step
        Bins from one window to the next; by default ``length``.
    starts
        First row of each window, shape ``(window,)``, instead of regular ones.
    device
        Where the counts live and batches are made.

    Attributes
    ----------
    starts : ndarray
        First row of each window, shape ``(window,)``, int64.
    length : int
        Bins of a window.

    Raises
    ------
    ConfigError
        If length or step is impossible or a window reaches out of its trial.
    EmptySelectionError
        If there is no window.

    Examples
    --------
    >>> from neurodyn.recording import counts
    >>> windows = Windows(counts(np.zeros((3, 10, 2)), bin_size=0.02))
    >>> len(windows), windows.gather([0, 2])["count"].shape
    (3, torch.Size([2, 10, 2]))
    """

    def __init__(
        self,
        recording: xr.DataTree | xr.Dataset,
        length: int | None = None,
        *,
        step: int | None = None,
        starts: ArrayLike | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        counts = pick(recording, "counts")
        has_trials = "trial" in counts["count"].dims
        if not has_trials:
            _refuse_gaps(counts)
        dims = ("trial", "time", "unit") if has_trials else ("time", "unit")
        count = counts["count"].transpose(*dims).values
        self.n_time, self.n_units = count.shape[-2:]
        self.length = self._checked_length(length, has_trials)
        self.count = np.ascontiguousarray(count).reshape(-1, self.n_units)
        self.observed = _observed_rows(counts, dims)
        self.starts = self._starts(step) if starts is None else self._checked_starts(starts)
        self.device = device
        self._tensors: Any = None

    def __len__(self) -> int:
        return int(self.starts.size)

    def gather(self, index: ArrayLike) -> dict[str, torch.Tensor]:
        """Return some windows as tensors.

        Parameters
        ----------
        index
            Numbers of windows, shape ``(batch,)``.

        Returns
        -------
        dict
            ``count`` float32 and ``observed`` bool, dims ``(batch, time, unit)``, and ``index``
            int64 ``(batch,)``. ``observed`` may be a view that is not to be written to.

        Raises
        ------
        IndexError
            If there is no such window.
        """
        from neurodyn.windows.gather import CountTensors

        if self._tensors is None:
            self._tensors = CountTensors(self.count, self.observed, self.length, self.device)
        chosen = np.asarray(index, dtype=np.int64).reshape(-1)
        batch: dict[str, torch.Tensor] = self._tensors.gather(chosen, self.starts[chosen])
        return batch

    def take(self, index: ArrayLike) -> Windows:
        """Return windows over the same counts (no copy) with only some of the windows.

        Raises
        ------
        EmptySelectionError
            If ``index`` is empty.
        """
        part = object.__new__(Windows)
        part.__dict__.update(self.__dict__)
        part.starts = self.starts[np.asarray(index, dtype=np.int64).reshape(-1)]
        if not part.starts.size:
            raise EmptySelectionError("no window is chosen")
        return part

    def spans(self) -> NDArray[np.int64]:
        """Return first and last row (exclusive) of each window, shape ``(window, 2)``."""
        return np.column_stack([self.starts, self.starts + self.length])

    def _checked_length(self, length: int | None, has_trials: bool) -> int:
        found = self.n_time if length is None and has_trials else length
        if found is None or not 1 <= found <= self.n_time:
            raise ConfigError(
                "length does not fit the counts",
                found=f"length={length}",
                expected=f"1 to {self.n_time} bins",
            )
        return int(found)

    def _starts(self, step: int | None) -> NDArray[np.int64]:
        step = self.length if step is None else step
        if step < 1:
            raise ConfigError("step must be at least one bin", found=f"step={step}")
        within = np.arange(0, self.n_time - self.length + 1, step, dtype=np.int64)
        first = np.arange(0, len(self.count), self.n_time, dtype=np.int64)
        return self._with_some((first[:, None] + within).ravel())

    def _checked_starts(self, starts: ArrayLike) -> NDArray[np.int64]:
        found = np.asarray(starts, dtype=np.int64).reshape(-1)
        bad = (found < 0) | (found >= len(self.count))
        bad |= found % self.n_time + self.length > self.n_time
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise ConfigError(
                "a window reaches out of its trial or the recording",
                where=f"starts[{first}]",
                found=f"rows {found[first]} to {found[first] + self.length}",
                expected=f"inside one stretch of {self.n_time} rows, {len(self.count)} in all",
            )
        return self._with_some(found)

    def _with_some(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        if not starts.size:
            raise EmptySelectionError("there are no windows", found=f"{len(self.count)} bins")
        return starts


def _refuse_gaps(counts: xr.Dataset) -> None:
    time, bin_size = counts["time"].values, counts.attrs["bin_size"]
    gaps = np.flatnonzero(np.abs(np.diff(time) - bin_size) > bin_size / 2)
    if gaps.size:
        raise TimebaseError(
            "windows would reach over gaps of the clock",
            found=f"{gaps.size} gaps, the first after {time[gaps[0]]:g} s",
            expected=f"bins that follow each other every {bin_size:g} s",
            hint="mark missing bins as not observed instead of leaving them out",
        )


def _observed_rows(counts: xr.Dataset, dims: tuple[str, ...]) -> NDArray[np.bool_] | None:
    """Return the mask as ``(row, unit)``, as ``(row, 1)`` when units share it, None if all."""
    if "observed" not in counts or bool(counts["observed"].values.all()):
        return None
    mask = counts["observed"]
    shared = "unit" not in mask.dims
    if "trial" in dims and "trial" not in mask.dims:
        mask = mask.expand_dims(trial=counts.sizes["trial"])
    wanted = dims[:-1] if shared else dims
    values = np.ascontiguousarray(mask.transpose(*wanted).values)
    return values.reshape(-1, 1 if shared else counts.sizes["unit"])
