"""Neuroformer's dictionaries of arrays as a recording: spikes, movie, behavior and trials.

The names of the arrays are listed in :mod:`neurodyn.io.neuroformer_arrays`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn.errors import DataError, TrialTableError
from neurodyn.io.children import Child
from neurodyn.io.faults import Quality
from neurodyn.io.lazy import FileArray, lazy_variable
from neurodyn.io.nested_names import joined
from neurodyn.io.neuroformer_arrays import NamedArrays
from neurodyn.io.neuroformer_clock import Clocks, Span, require_span
from neurodyn.io.neuroformer_spikes import is_continuous, spans_of, spikes_of
from neurodyn.io.samples import settle_samples

__all__ = ["NeuroformerLayout", "recording_from_dictionary"]

FRAMES, MOVIES = ("frame", "height", "width"), ("stimulus", "frame", 1, "height", "width")
OF_SPIKES = ("start", "stop")


def recording_from_dictionary(
    mapping: Mapping[str, Any],
    *,
    bin_size: float | None = None,
    frame_rate: float | None = None,
    behavior_rate: float | None = None,
    gap: float = 1.0,
    **attrs: Any,
) -> xr.DataTree:
    """Make a recording of Neuroformer's dictionaries of arrays.

    Parameters
    ----------
    mapping
        Arrays by name, as :mod:`neurodyn.io.neuroformer_arrays` lists them.
    bin_size
        Width of a bin of the counts [s]; else that of ``mapping``.
    frame_rate, behavior_rate
        Of frames and of behavior [Hz]; else those of ``mapping``, else 20.
    gap, **attrs
        Trials lie on one clock, at least this far apart [s]; root attributes.

    Returns
    -------
    xr.DataTree
        ``spikes``, in the middles of the ``k`` equal parts of a bin of ``k``, so that binning at
        ``bin_size`` gives the counts again; ``signal/movie (time, channel)``, frames that are not
        copied, with ``row`` and ``column`` of each pixel; ``behavior/<name>``; ``trials``.

    Raises
    ------
    DataError
        If a name is unknown, or an array has another form or impossible values.
    TimebaseError, TrialTableError
        If series are not as long as the spikes, or columns do not fit the trials.
    ConfigError
        If ``bin_size`` is not known or a rate is not positive.

    References
    ----------
    Antoniades et al., Neuroformer, ICLR 2024: its data are of this form.

    Examples
    --------
    >>> tree = recording_from_dictionary(
    ...     {"spikes": np.array([[0, 2, 0, 0], [1, 0, 0, 1]]), "behavior": {"speed": [3.0, 4.0]}},
    ...     bin_size=0.025,
    ... )
    >>> tree["spikes"]["spike_time"].values.round(5).tolist()
    [0.03125, 0.04375, 0.0125, 0.0875]
    """
    arrays = joined(mapping, "dictionary")
    clocks = Clocks.of(arrays, bin_size, frame_rate, behavior_rate, gap)
    nodes: dict[str, Any] = {}
    for child in NeuroformerLayout(NamedArrays(arrays, "dictionary"), clocks).children():
        kind, _, name = child.address.partition("/")
        ds = child.read(Quality("raise"))
        nodes[kind] = {**nodes.get(kind, {}), name: ds} if name else ds
    return rec.recording(nodes, **attrs)


class NeuroformerLayout:
    """The parts of a session; each is built, and checked, when it is read.

    Parameters
    ----------
    arrays, clocks
        Of the session.

    Raises
    ------
    DataError
        If there are no spikes, or spikes of two forms.

    Examples
    --------
    >>> arrays = NamedArrays({"spikes": [[0, 1]], "behavior/speed": [0.0]}, "session.npz")
    >>> layout = NeuroformerLayout(arrays, Clocks(0.05, 20.0, 20.0, gap=1.0))
    >>> [child.address for child in layout.children()]
    ['spikes', 'behavior/speed']
    """

    def __init__(self, arrays: NamedArrays, clocks: Clocks) -> None:
        self.arrays, self.clocks = arrays, clocks
        self.continuous = is_continuous(arrays)

    def children(self) -> list[Child]:
        """Return the parts."""
        found = [Child("spikes", "spikes", self._spikes, "spikes")]
        if "stimulus" in self.arrays:
            found.append(Child("signal/movie", "movie", self._movie, "stimulus"))
        for name in dict.fromkeys(name.split("/")[0] for name in self.arrays.below("behavior")):
            read = partial(self._behavior, name)
            found.append(Child(f"behavior/{name}", name, read, f"behavior/{name}"))
        if self._has_trials:
            found.append(Child("trials", "trials", self._trials, "trials"))
        return found

    @cached_property
    def _spans(self) -> list[Span]:
        return spans_of(self.arrays, self.clocks)

    @property
    def _has_trials(self) -> bool:
        return not self.continuous or bool(self.arrays.below("trials"))

    def _spikes(self, quality: Quality) -> xr.Dataset:
        return spikes_of(self.arrays, self.clocks, self._spans)

    def _trials(self, quality: Quality) -> xr.Dataset:
        names = self.arrays.below("trials")
        if self.continuous:
            start, stop = self._said_spans(names)
            labels = None
        else:
            start, stop = np.array(self._spans).T
            labels = _as_numbers(self.arrays.below("spikes"))
            for name in {*OF_SPIKES, "trial"} & set(names):
                raise self._no_table(f"trials/{name}", "both", "spikes alone to say it")
        columns = {
            name: self.arrays.column(f"trials/{name}", len(start), "trials")
            for name in names
            if name not in (*OF_SPIKES, "trial")
        }
        if self.continuous and "trial" in names:
            labels = self.arrays.column("trials/trial", len(start), "trials").tolist()
        return rec.trials(start, stop, trial=labels or None, columns=columns)

    def _said_spans(self, names: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return begin and end of the trials in a continuous recording [s]."""
        missing = [f"trials/{name}" for name in OF_SPIKES if name not in names]
        if missing:
            raise self._no_table(missing[0], "none", "start and stop of each trial [s]")
        start = self.arrays.numbers("trials/start", ("trial",)).astype(np.float64)
        stop = self.arrays.column("trials/stop", len(start), "trials").astype(np.float64)
        end = self._spans[0].stop
        fits = (start >= 0) & (start < stop) & (stop <= end + self.clocks.bin_size)
        if not fits.all():
            first = int(np.argmin(fits))
            raise self._no_table(
                f"trials/start, row {first}",
                f"{start[first]:g} to {stop[first]:g} s",
                f"a trial inside of 0 to {end:g} s",
            )
        return start, stop

    def _no_table(self, name: str, found: str, expected: str) -> TrialTableError:
        return TrialTableError(
            "trials do not fit the spikes",
            where=self.arrays.place(name),
            found=found,
            expected=expected,
        )

    def _movie(self, quality: Quality) -> xr.Dataset:
        frames = self.arrays.numbers("stimulus", FRAMES, MOVIES)
        clock: dict[str, Any]
        if frames.ndim == 3:
            self._require_continuous("stimulus", " x ".join(map(str, MOVIES)))
            require_span(
                len(frames),
                self._spans[0],
                self.clocks.frame_rate,
                self.arrays.place("stimulus"),
            )
            row, clock = np.arange(len(frames)), {"sampling_rate": self.clocks.frame_rate}
            frames = frames[None, :, None]
        else:
            row, time = self._shown(*frames.shape[:2])
            clock = {"time": time}
        height, width = frames.shape[-2:]
        pixel_row, pixel_column = np.mgrid[:height, :width].reshape(2, -1)
        return rec.signal(
            lazy_variable(("time", "channel"), _Screen(frames, row)),
            channel_columns={"row": pixel_row, "column": pixel_column},
            height=height,
            width=width,
            **clock,
        )

    def _shown(self, n_movies: int, n_frames: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return which frame of all movies is shown when [s], in the order of time."""
        place = self.arrays.place("stimulus")
        if not self._has_trials:
            raise self._no_table("stimulus", "movies of trials", "trials/start and trials/stop")
        trials = self._trials(Quality("raise"))
        movie = self._movie_of_trial(trials, n_movies)
        rate = self.clocks.frame_rate
        rows, times = [], []
        for index in np.argsort(trials["start"].values, kind="stable"):
            span = Span(float(trials["start"][index]), float(trials["stop"][index]))
            require_span(n_frames, span, rate, place, longer=True)
            frame = np.arange(_n_before_end(n_frames, span, rate))
            rows.append(movie[index] * n_frames + frame)
            times.append(span.start + frame / rate)
        row, time = np.concatenate(rows), np.concatenate(times)
        if not (np.diff(time) > 0).all():
            raise self._no_table("stimulus", "trials that overlap", "one movie at a time")
        return row, time

    def _movie_of_trial(self, trials: xr.Dataset, n_movies: int) -> NDArray[np.int64]:
        n_trials = trials.sizes["trial"]
        if "stimulus" not in trials:
            if n_movies == 1:
                return np.zeros(n_trials, np.int64)
            raise TrialTableError(
                "which trial shows which movie is not known",
                where=self.arrays.place("stimulus"),
                found=f"{n_movies} movies, {n_trials} trials",
                expected="trials/stimulus, the number of the movie in each trial",
                hint="numpy.repeat([0, 1, 2], 20), if the first 20 trials show the first movie",
            )
        found = self.arrays.numbers("trials/stimulus", ("trial",))
        if not np.isin(found, np.arange(n_movies)).all():
            raise self._no_table(
                "trials/stimulus", f"{found.min()} to {found.max()}", f"0 to {n_movies - 1}"
            )
        return found.astype(np.int64)

    def _behavior(self, name: str, quality: Quality) -> xr.Dataset:
        whole, rate = f"behavior/{name}", self.clocks.behavior_rate
        clock: dict[str, Any]
        if whole in self.arrays:
            self._require_continuous(whole, f"{whole}/<trial>")
            values = self.arrays.numbers(whole, ("sample",))
            require_span(values.size, self._spans[0], rate, self.arrays.place(whole))
            clock = {"sampling_rate": rate}
        else:
            values, time = self._of_trials(whole, rate)
            clock = {"time": time}
        settled = settle_samples(values[None], [name], self.arrays.place(whole), quality)
        return rec.behavior(settled[0], feature=[name], **clock)

    def _of_trials(self, whole: str, rate: float) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return a behavior that is given for each trial, and its times [s]."""
        found, trials = self.arrays.below(whole), self.arrays.below("spikes")
        if set(found) != set(trials):
            odd = sorted(set(found) ^ set(trials))
            raise self._no_table(whole, f"{', '.join(odd[:5])} in one alone", "the same trials")
        values, times = [], []
        for name, span in zip(trials, self._spans):
            samples = self.arrays.numbers(f"{whole}/{name}", ("sample",))
            require_span(samples.size, span, rate, self.arrays.place(f"{whole}/{name}"))
            n_samples = _n_before_end(samples.size, span, rate)
            values.append(samples[:n_samples])
            times.append(span.start + np.arange(n_samples) / rate)
        return np.concatenate(values), np.concatenate(times)

    def _require_continuous(self, name: str, expected: str) -> None:
        if not self.continuous:
            raise DataError(
                "spikes are of trials, the series is not",
                where=self.arrays.place(name),
                found="one series",
                expected=expected,
                hint="cut it into trials, as the spikes",
            )


class _Screen(FileArray):
    """Frames ``(stimulus, frame, 1, height, width)`` as they are shown, ``(time, pixel)``."""

    def __init__(self, frames: NDArray[Any], row: NDArray[np.int64]) -> None:
        self.frames, self.row = frames, row
        self.shape = (row.size, frames.shape[-2] * frames.shape[-1])
        self.dtype = np.dtype(np.uint8) if frames.dtype == bool else frames.dtype.newbyteorder("=")

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        time, pixels = key
        stimulus, frame = np.divmod(self.row[time], self.frames.shape[1])
        chosen = self.frames[stimulus, frame, 0]
        return np.array(chosen.reshape(*chosen.shape[:-2], -1)[..., pixels], self.dtype)


def _n_before_end(n_samples: int, span: Span, rate: float) -> int:
    """Return how many of the samples of a trial begin before it ends."""
    return min(n_samples, math.ceil(round(span.duration * rate, 6)))


def _as_numbers(names: list[str]) -> list[Any]:
    """Return names of trials as numbers, if all are."""
    return [int(name) for name in names] if all(map(str.isdecimal, names)) else list(names)
