"""Faults of a file, and the one policy that says what becomes of them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from neurodyn.errors import DataQualityWarning, NeurodynError, one_of

__all__ = ["Fault", "OnBad", "Quality", "Severity", "announce"]

OnBad = Literal["raise", "fix", "drop", "warn"]
Severity = Literal["error", "warning", "note"]
DONE = {"fix": "fixed", "drop": "dropped", "warn": "kept"}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong or worth knowing about a file.

    Parameters
    ----------
    severity
        ``error``: reading it raises; ``warning``: probably wrong; ``note``: worth knowing.
    code
        Short name of the cause, the same in every file.
    where
        Object path in the file.
    message
        What was found, in one line.
    hint
        How to go on.
    error
        The exception that reading raises, if any.
    """

    severity: Severity
    code: str
    where: str
    message: str
    hint: str = ""
    error: NeurodynError | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, code: str, error: NeurodynError) -> Fault:
        """Describe an exception as a fault of severity ``error``.

        Examples
        --------
        >>> Fault.of("empty", NeurodynError("nothing here", where="/units", found=0)).message
        'nothing here; found: 0'
        """
        found = "" if error.found is None else f"; found: {error.found}"
        hint = "" if error.hint is None else str(error.hint)
        return cls("error", code, str(error.where or ""), f"{error.what}{found}", hint, error)

    def raised(self) -> NeurodynError:
        """Return the exception of this fault."""
        return self.error or NeurodynError(self.message, where=self.where, hint=self.hint or None)


class Quality:
    """What was done about the faults of one object; its counts become ``attrs['quality']``.

    Parameters
    ----------
    on_bad
        ``raise``, ``fix`` (where there is one right answer), ``drop`` (the smallest thing that
        is wrong: a spike, row, unit, column or object) or ``warn`` (keep as it is).
    lazy
        Nothing is decided yet: a faulty column raises when it is touched.
    """

    def __init__(self, on_bad: OnBad = "raise", *, lazy: bool = False) -> None:
        one_of("on_bad", on_bad, DONE.keys() | {"raise"})
        self.on_bad, self.lazy = on_bad, lazy
        self.counts: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.faults: list[Fault] = []

    def decide(self, fault: Fault, *, n: int = 1, can: Iterable[str] = ("drop", "warn")) -> str:
        """Return ``fix``, ``drop`` or ``warn`` and count ``n`` things; else raise the fault.

        Parameters
        ----------
        fault
            What is wrong.
        n
            How many things (spikes, rows) it touches.
        can
            The answers that this fault allows; for any other the fault is raised.

        Raises
        ------
        NeurodynError
            The fault's own error.
        """
        if self.on_bad == "raise" or self.on_bad not in can:
            raise fault.raised()
        done = f"{fault.code}_{DONE[self.on_bad]}"
        self.counts[done] += n
        self.done[done] += n
        self.faults.append(fault)
        return self.on_bad

    def note(self, code: str, n: int) -> None:
        """Count something that is accepted as it is."""
        if n:
            self.counts[code] += int(n)

    def suspect(self, code: str) -> None:
        """Count something that is read as it is, but that loading warns about."""
        self.counts[code] += 1
        self.done[f"{code}_kept"] += 1

    def attrs(self) -> dict[str, object]:
        """Return the attributes that tell a reader of the data about its faults."""
        attrs: dict[str, object] = {}
        if self.counts:
            attrs["quality"] = dict(self.counts)
        if self.lazy and self.faults:
            attrs["fault"] = "; ".join(fault.message for fault in self.faults)
        return attrs


def announce(qualities: Iterable[Quality], source: str) -> None:
    """Warn once per cause about what was fixed, dropped or kept in a file."""
    total: Counter[str] = Counter()
    for quality in qualities:
        total.update(quality.done)
    for cause, n in sorted(total.items()):
        name, _, verb = cause.rpartition("_")
        text = f"{source}: {name.replace('_', ' ')}: {n} {verb}; see attrs['quality']"
        warnings.warn(text, DataQualityWarning, stacklevel=4)
