"""Spikes binned and cut into windows on the device where they live."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from neurodyn.errors import ConfigError, DataError, EmptySelectionError, SpikeTimesError
from neurodyn.recording import pick
from neurodyn.transforms.intervals import union
from neurodyn.transforms.observation import observation_intervals
from neurodyn.transforms.ticks import TickBins, seconds_to_ticks
from neurodyn.windows.gather import CountTensors

__all__ = ["Binned", "SpikeTensors", "SpikeWindows", "count_ticks"]

HIGHEST = 255


@dataclass(frozen=True)
class Binned:
    """Counts on a device.

    Parameters
    ----------
    count
        Shape ``(time, unit)``, uint8, 0 where not observed.
    observed
        Shape ``(time, unit)``, bool; None where no observation intervals are known.
    """

    count: Tensor
    observed: Tensor | None


class SpikeTensors:
    """Spike times as integer ticks on a device, to be counted there in bins of any width.

    Parameters
    ----------
    recording
        A recording or its spikes.
    device
        Where they are kept and counted.
    name
        Which spikes, if the recording has several.

    Attributes
    ----------
    tick : Tensor
        Shape ``(spike,)``, int64: the units one after another, ascending in each.
    unit : Tensor
        Number of the unit of each spike, shape ``(spike,)``, int64.

    Raises
    ------
    SpikeTimesError
        If spike times are not finite.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes = spikes_from_units({"a": [0.01, 0.02, 0.05], "b": [0.03]})
    >>> SpikeTensors(spikes).bin(0.02, start=0.0, stop=0.06).count.tolist()
    [[1, 0], [1, 1], [1, 0]]
    """

    def __init__(
        self,
        recording: xr.DataTree | xr.Dataset,
        *,
        device: str | torch.device = "cpu",
        name: str | None = None,
    ) -> None:
        spikes = pick(recording, "spikes", name)
        self.tick_hz = float(spikes.attrs["tick_hz"])
        ticks = seconds_to_ticks(spikes["spike_time"].values, self.tick_hz)
        if not np.isfinite(ticks.sum()):
            raise SpikeTimesError(
                "spike times are not finite",
                where=spikes.attrs.get("source_path"),
                expected="finite times",
                hint="load(on_bad='fix') removes them and counts the change",
            )
        row_size = spikes["row_size"].values
        self.n_units = int(row_size.size)
        self.tick = torch.from_numpy(ticks.astype(np.int64)).to(device)
        unit = np.repeat(np.arange(self.n_units, dtype=np.int64), row_size)
        self.unit = torch.from_numpy(unit).to(device)
        self._intervals = observation_intervals(spikes)

    def bin(self, bin_size: float, *, start: float, stop: float) -> Binned:
        """Count spikes in half-open bins, as :func:`neurodyn.transforms.bin_spikes` does.

        Parameters
        ----------
        bin_size
            Width of a bin [s], at least one tick.
        start, stop
            What to bin [s]; a last bin that would reach beyond ``stop`` is left out.

        Raises
        ------
        ConfigError
            If no bin fits.
        SpikeTimesError
            If spike times are not sorted.
        DataError
            If a bin holds more than 255 spikes.
        """
        bins = TickBins.of(bin_size, self.tick_hz)
        origin, end = bins.sub_ticks([start, stop]).astype(np.int64).tolist()
        n_bins = (end - origin) // bins.width
        if n_bins < 1:
            raise ConfigError(
                "bin_size does not fit the span to bin",
                found=f"{n_bins} bins of {bin_size:g} s",
                expected="at least one whole bin between start and stop",
            )
        row = torch.div(self.tick * bins.scale - origin, bins.width, rounding_mode="floor")
        count = count_ticks(row, self.unit, n_bins, self.n_units)
        if self._intervals is None:
            return Binned(count, None)
        observed = self._observed(bins, origin, n_bins)
        return Binned(count.mul_(observed), observed)

    def _observed(self, bins: TickBins, origin: int, n_bins: int) -> Tensor:
        """Say which bins lie wholly inside an interval of their unit, touching ones joined."""
        reach = 2.0**51 / bins.scale / bins.tick_hz
        edges = [
            union(bins.sub_ticks(np.clip(own, -reach, reach))) for own in self._intervals or ()
        ]
        unit = np.repeat(np.arange(self.n_units), [len(own) for own in edges])
        first, last = (np.concatenate(edges).astype(np.int64) - origin).T
        # the first bin that begins inside, and the first that does not end inside
        begin = np.clip(-(-first // bins.width), 0, n_bins)
        end = np.maximum(np.clip(last // bins.width, 0, n_bins), begin)
        steps = torch.zeros((n_bins + 1) * self.n_units, dtype=torch.int32, device=self.tick.device)
        for rows, step in ((begin, 1), (end, -1)):
            place = torch.from_numpy(rows * self.n_units + unit).to(steps.device)
            steps.index_add_(0, place, torch.full_like(place, step, dtype=torch.int32))
        return steps.view(n_bins + 1, self.n_units)[:-1].cumsum(0) > 0


class SpikeWindows:
    """Windows of equal length over spikes that were binned on a device.

    What :class:`neurodyn.windows.Windows` gives of the same counts, without their way through
    the memory of the host.

    Parameters
    ----------
    binned
        Counts on a device.
    length
        Bins of a window.
    step
        Bins from one window to the next; by default ``length``.
    starts
        First bin of each window, shape ``(window,)``, instead of regular ones.

    Raises
    ------
    EmptySelectionError
        If no window fits.
    ConfigError
        If a window reaches out of the counts.

    Examples
    --------
    >>> binned = Binned(torch.ones(10, 2, dtype=torch.uint8), None)
    >>> windows = SpikeWindows(binned, length=4)
    >>> len(windows), windows.gather(np.array([1]))["count"].shape
    (2, torch.Size([1, 4, 2]))
    """

    def __init__(
        self,
        binned: Binned,
        length: int,
        *,
        step: int | None = None,
        starts: ArrayLike | None = None,
    ) -> None:
        n_starts = len(binned.count) - length + 1
        regular = np.arange(0, n_starts, length if step is None else step)
        found = np.asarray(regular if starts is None else starts, dtype=np.int64).reshape(-1)
        if not found.size:
            raise EmptySelectionError(
                "there are no windows", found=f"{len(binned.count)} bins, length={length}"
            )
        if found.min() < 0 or found.max() >= n_starts:
            raise ConfigError(
                "a window reaches out of the recording",
                found=f"starts from {found.min()} to {found.max()}",
                expected=f"0 to {n_starts - 1}",
            )
        self.starts = found
        self._tensors = CountTensors(binned.count, binned.observed, length, binned.count.device)

    def __len__(self) -> int:
        return int(self.starts.size)

    def gather(self, index: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return windows as :meth:`neurodyn.windows.Windows.gather` does."""
        return self._tensors.gather(index, self.starts[index])


def count_ticks(row: Tensor, unit: Tensor, n_rows: int, n_units: int) -> Tensor:
    """Count how often each row occurs in each unit, on the device of the rows.

    The host waits once, for the checks.

    Parameters
    ----------
    row
        Row of each event, shape ``(spike,)``, int64: the units one after another, ascending in
        each. Rows outside ``0 … n_rows - 1`` are left out.
    unit
        Unit of each event, shape ``(spike,)``, int64, ascending.
    n_rows, n_units
        Shape of what is returned.

    Returns
    -------
    Tensor
        Shape ``(row, unit)``, uint8.

    Raises
    ------
    SpikeTimesError
        If rows descend within a unit.
    DataError
        If a count exceeds 255.

    Examples
    --------
    >>> count_ticks(torch.tensor([0, 0, 2, 1]), torch.tensor([0, 0, 0, 1]), 3, 2).tolist()
    [[2, 0], [0, 1], [1, 0]]
    """
    inside = (row >= 0) & (row < n_rows)
    # what is left out goes into one more place
    place = torch.where(inside, row * n_units + unit, n_rows * n_units)
    descends = ((row[1:] < row[:-1]) & (unit[1:] == unit[:-1])).any()
    # events of one place are adjacent
    crowded = ((place[HIGHEST:] == place[:-HIGHEST]) & inside[HIGHEST:]).any()
    unsorted, too_many = torch.stack([descends, crowded]).tolist()
    if unsorted:
        raise SpikeTimesError(
            "spike times are not sorted",
            expected="times that never decrease within a unit",
            hint="load(on_bad='fix') sorts them and counts the change",
        )
    if too_many:
        raise DataError(
            "a bin holds too many spikes",
            found=f"more than {HIGHEST}",
            expected=f"up to {HIGHEST}",
            hint="choose a smaller bin_size; bin_spikes counts up to 65,535",
        )
    count = torch.zeros(n_rows * n_units + 1, dtype=torch.uint8, device=row.device)
    count.index_add_(0, place, torch.ones_like(place, dtype=torch.uint8))
    return count[:-1].view(n_rows, n_units)
