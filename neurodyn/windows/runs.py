"""Windows of segments over fMRI runs of any length; xarray stops here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import ConfigError, EmptySelectionError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RunWindows", "standardise"]

# z-scores beyond this are artefacts
CLIP = 5.0
# spread below this share of the largest value is rounding
FLAT = 1e-6


class RunWindows:
    """Windows of consecutive segments over runs, gathered in batches of tensors.

    Runs are standardised here. A window may reach past the end of its run: frames that do not
    exist are not observed, so runs shorter than a window are used too.

    Parameters
    ----------
    runs
        Values of each run, dims ``(time, roi)``, NaN where unknown or censored; the same ROIs.
    n_segments, n_frames
        Segments of a window and frames of a segment.
    segment_duration
        Length of a segment [s].
    step
        Frames from one window to the next; by default a window.
    least_observed
        Windows with a smaller share of observed entries (of ROIs that the run has) are left out.
    names
        Of the runs, for messages.

    Attributes
    ----------
    run, start : ndarray
        Number of the run and first frame of each window, shape ``(window,)``, int64.

    Raises
    ------
    ConfigError
        If sizes are impossible.
    EmptySelectionError
        If a run has no window left.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(40, 3))
    >>> windows = RunWindows([values], n_segments=4, n_frames=10, segment_duration=15.0)
    >>> len(windows), windows.gather([0])["bold"].shape
    (1, torch.Size([1, 4, 3, 10]))
    """

    def __init__(
        self,
        runs: Sequence[NDArray[np.floating[Any]]],
        *,
        n_segments: int,
        n_frames: int,
        segment_duration: float,
        step: int | None = None,
        least_observed: float = 0.5,
        names: Sequence[str] | None = None,
    ) -> None:
        step = n_segments * n_frames if step is None else step
        if min(n_segments, n_frames, step) < 1 or not runs:
            raise ConfigError(
                "windows over runs are impossible",
                found=f"{len(runs)} runs, n_segments={n_segments}, n_frames={n_frames},"
                f" step={step}",
                expected="at least one of each",
            )
        self.n_segments, self.n_frames = n_segments, n_frames
        self.segment_duration = segment_duration
        self.length = n_segments * n_frames
        self.values = [standardise(run) for run in runs]
        starts = [_starts(run, self.length, step, least_observed) for run in self.values]
        empty = [number for number, found in enumerate(starts) if not found.size]
        if empty:
            named = [str(number) if names is None else names[number] for number in empty]
            raise EmptySelectionError(
                "runs have no window with enough observed frames",
                found=f"{len(empty)} of {len(runs)} runs: {', '.join(named[:10])}",
                expected=f"{least_observed:.0%} of the frames of a window observed",
                hint="leave these runs out",
            )
        self.run = np.repeat(np.arange(len(starts)), list(map(len, starts)))
        self.start = np.concatenate(starts)

    def __len__(self) -> int:
        return int(self.start.size)

    def take(self, index: ArrayLike) -> RunWindows:
        """Return windows over the same runs (no copy) with only some of the windows.

        Raises
        ------
        EmptySelectionError
            If ``index`` is empty.
        """
        part = object.__new__(RunWindows)
        part.__dict__.update(self.__dict__)
        chosen = np.asarray(index, dtype=np.int64).reshape(-1)
        part.run, part.start = self.run[chosen], self.start[chosen]
        if not chosen.size:
            raise EmptySelectionError("no window is chosen")
        return part

    def at(self, run: ArrayLike, start: ArrayLike, n_segments: int) -> RunWindows:
        """Return windows of another length at given places, over the same runs (no copy).

        Parameters
        ----------
        run, start
            Number of the run and first frame of each window, shape ``(window,)``.
        n_segments
            Segments of a window.

        Raises
        ------
        ConfigError
            If a window begins outside of its run.
        """
        part = object.__new__(RunWindows)
        part.__dict__.update(self.__dict__)
        part.run = np.asarray(run, dtype=np.int64).reshape(-1)
        part.start = np.asarray(start, dtype=np.int64).reshape(-1)
        part.n_segments, part.length = n_segments, n_segments * self.n_frames
        n_frames = np.array([len(values) for values in self.values])[part.run]
        bad = np.flatnonzero((part.start < 0) | (part.start >= n_frames))
        if bad.size:
            raise ConfigError(
                "a window begins outside of its run",
                where=f"window {bad[0]}",
                found=f"frame {part.start[bad[0]]} of {n_frames[bad[0]]}",
                expected="a frame of the run",
            )
        return part

    def gather(self, index: ArrayLike) -> dict[str, Tensor]:
        """Return some windows as tensors.

        Returns
        -------
        dict
            ``bold`` float32, 0 where not observed, and ``observed`` bool, dims ``(batch, segment,
            roi, frame)``; ``time`` float32 ``(batch, segment)``, start of a segment from that of
            the window [s]; ``index`` int64 ``(batch,)``.
        """
        import torch

        chosen = np.asarray(index, dtype=np.int64).reshape(-1)
        n_rois = self.values[0].shape[1]
        frames = np.full((chosen.size, self.length, n_rois), np.nan, dtype=np.float32)
        for row, (run, start) in enumerate(zip(self.run[chosen], self.start[chosen])):
            part = self.values[run][start : start + self.length]
            frames[row, : len(part)] = part
        shape = (chosen.size, self.n_segments, self.n_frames, n_rois)
        segments = torch.from_numpy(frames.reshape(shape)).transpose(2, 3)
        observed = ~torch.isnan(segments)
        time = torch.arange(self.n_segments, dtype=torch.float32) * self.segment_duration
        return {
            "bold": torch.where(observed, segments, 0.0).contiguous(),
            "observed": observed.contiguous(),
            "time": time.expand(chosen.size, self.n_segments),
            "index": torch.from_numpy(chosen.copy()),
        }


def standardise(values: ArrayLike) -> NDArray[np.float32]:
    """Return z-scores of each ROI over the observed frames of a run, clipped at 5.

    Parameters
    ----------
    values
        Dims ``(time, roi)``, NaN where unknown.

    Returns
    -------
    ndarray
        float32 of the same shape; NaN where unknown, and for a ROI that never changes.

    Examples
    --------
    >>> standardise([[0.0, 5.0], [2.0, 5.0]]).tolist()
    [[-1.0, nan], [1.0, nan]]
    """
    array = np.asarray(values, dtype=np.float64)
    known = np.isfinite(array)
    n_known = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, array, 0.0)
    centred = np.where(known, array - filled.sum(axis=0) / n_known, 0.0)
    spread = np.sqrt((centred**2).sum(axis=0) / n_known)
    varies = spread > FLAT * np.abs(filled).max(axis=0, initial=0.0)
    scores = np.clip(centred / np.where(varies, spread, 1.0), -CLIP, CLIP)
    return np.where(known & varies, scores, np.nan).astype(np.float32)


def _starts(
    run: NDArray[np.float32], length: int, step: int, least_observed: float
) -> NDArray[np.int64]:
    """Return first frames of windows; the last one ends with the run where that is possible."""
    last = max(0, len(run) - length)
    starts: NDArray[np.int64] = np.unique(np.append(np.arange(0, last + 1, step), last))
    present = ~np.isnan(run).all(axis=0)
    if not present.any():
        return starts[:0]
    seen = np.append(0, np.cumsum((~np.isnan(run[:, present])).mean(axis=1)))
    stops = np.minimum(starts + length, len(run))
    # against what the run can have: a short run is not held against itself
    share = (seen[stops] - seen[starts]) / np.minimum(length, len(run))
    kept: NDArray[np.int64] = starts[share >= least_observed]
    return kept
