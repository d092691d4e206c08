"""The arrays of Neuroformer's layout: what they are called, and what shape each has.

Names of those in inner dictionaries are joined by ``/``:

=========================== =====================================================================
``spikes``                  counts ``(unit, bin)`` of one continuous recording
``spikes/<trial>``          or counts ``(unit, bin)`` of each trial
``events``                  or rows ``(event, 3)``: number of the trial, time in it [s], number of
                            the unit
``units``                   labels ``(unit,)``; numbered if not given, and as many as there are
                            numbers in ``events``
``stimulus``                frames ``(frame, height, width)`` of a continuous recording, or movies
                            ``(stimulus, frame, 1, height, width)`` that begin with their trials
``behavior/<name>``         samples ``(sample,)`` of a continuous recording
``behavior/<name>/<trial>`` or samples ``(sample,)`` of each trial
``trials/<column>``         columns ``(trial,)``: ``stimulus``, the number of the trial's movie, and
                            any other; ``start`` and ``stop`` [s] in a continuous recording;
                            ``duration`` [s] with ``events``
``intervals``               ``(interval, 2)``, when a continuous recording was observed [s]
``bin_size``                of the counts [s]
``frame_rate``              of frames [Hz], 20 if not given
``behavior_rate``           of behavior [Hz], 20 if not given
=========================== =====================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import DataError, suggest
from neurodyn.io.neuroformer_clock import CLOCKS

__all__ = ["NamedArrays", "is_layout"]

SINGLE = ("spikes", "events", "units", "stimulus", "intervals", *CLOCKS)
LEVELS = {"spikes": (2,), "trials": (2,), "behavior": (2, 3)}


def is_layout(names: Iterable[str]) -> bool:
    """Tell whether arrays of these names, and of no others, are in the layout.

    Examples
    --------
    >>> is_layout(["spikes", "behavior/speed"]), is_layout(["spikes", "rates"])
    (True, False)
    """
    found = list(names)
    spiking = any(name.split("/")[0] in ("spikes", "events") for name in found)
    return spiking and all(map(_is_known, found))


class NamedArrays:
    """Arrays by name, with the checks that all of them need.

    Parameters
    ----------
    arrays
        Arrays by name; read when they are asked for.
    where
        The file, for messages.

    Raises
    ------
    DataError
        If a name is unknown.

    Examples
    --------
    >>> arrays = NamedArrays({"spikes/0": [[1]], "spikes/1": [[2]]}, "session.npz")
    >>> arrays.below("spikes"), arrays.numbers("spikes/1", ("unit", "bin")).tolist()
    (['0', '1'], [[2]])
    """

    def __init__(self, arrays: Mapping[str, Any], where: str) -> None:
        self._arrays, self.where = arrays, where
        for name in arrays:
            if not _is_known(name):
                raise DataError(
                    "array of an unknown name",
                    where=where,
                    found=repr(name),
                    expected=", ".join((*SINGLE, *(f"{folder}/..." for folder in LEVELS))),
                    hint=suggest(name, (*SINGLE, *LEVELS)),
                )

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def below(self, folder: str) -> list[str]:
        """Return the rest of the names that begin with ``folder/``."""
        return [n.removeprefix(f"{folder}/") for n in self._arrays if n.startswith(f"{folder}/")]

    def place(self, name: str) -> str:
        """Return where an array is, for messages."""
        return f"{self.where}:{name}"

    def length(self, name: str) -> int:
        """Return the length of the first axis, 0 if there is none."""
        return int(np.shape(self._arrays[name])[0]) if np.ndim(self._arrays[name]) else 0

    def column(self, name: str, n_rows: int, of: str) -> NDArray[Any]:
        """Return an array with one entry for each of ``n_rows``.

        Raises
        ------
        DataError
            If it has another length, or holds Python objects.
        """
        found = np.asarray(self._arrays[name])
        if found.dtype.hasobject or found.ndim < 1 or len(found) != n_rows:
            raise DataError(
                f"{name} does not fit the {of}",
                where=self.place(name),
                found=f"shape {found.shape} of {found.dtype}",
                expected=f"numbers or text, one for each of {n_rows} {of}",
            )
        return found

    def numbers(self, name: str, *dims: tuple[str | int, ...]) -> NDArray[Any]:
        """Return an array of numbers, mapped if it is.

        Parameters
        ----------
        name
            Of the array.
        *dims
            Shapes that it may have: names of axes, or their lengths.

        Raises
        ------
        DataError
            If it has another shape, is empty or holds no numbers.
        """
        found: NDArray[Any] = np.asanyarray(self._arrays[name])
        fits = any(
            len(wanted) == found.ndim
            and all(isinstance(n, str) or n == m for n, m in zip(wanted, found.shape))
            for wanted in dims
        )
        if not fits or found.dtype.kind not in "biuf" or not found.size:
            raise DataError(
                f"{name} has another form",
                where=self.place(name),
                found=f"shape {found.shape} of {found.dtype}",
                expected=" or ".join(f"numbers ({', '.join(map(str, wanted))})" for wanted in dims),
            )
        return found


def _is_known(name: str) -> bool:
    parts = name.split("/")
    return name in SINGLE or (len(parts) in LEVELS.get(parts[0], ()) and all(parts))
