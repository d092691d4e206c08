"""The exceptions of neurodyn and the one way in which they are phrased.

A message says what is wrong, where, what was found, what was expected and how to go on::

    SpikeTimesError: spike times are not sorted (at session.nwb:/units, unit 7, spike 12).
      found: 1 drop of 0.5 s
      expected: times that never decrease within a unit
      to go on: on_bad='fix' sorts them and counts the change

"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AtlasMismatchError",
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointMismatchError",
    "CiftiError",
    "ConfigError",
    "CorruptFileError",
    "DataError",
    "DataQualityWarning",
    "DegenerateInputError",
    "EmptySelectionError",
    "FileError",
    "ImageGeometryError",
    "MissingDependencyError",
    "NetworkError",
    "NeurodynError",
    "NotFittedError",
    "SchemaError",
    "SizeBudgetError",
    "SpikeTimesError",
    "TimebaseError",
    "TrainingDivergedError",
    "TrialTableError",
    "UnitScaleError",
    "UnsafeFileError",
    "UnsupportedFormatError",
    "one_of",
    "suggest",
]


class NeurodynError(ValueError):
    """Base of every error that neurodyn raises about its input.

    Parameters
    ----------
    what
        What is wrong, without a full stop.
    where
        File and object path, unit id, row: as exact as it is known.
    found, expected
        What the data hold and what they should hold.
    hint
        How to go on: the exact parameter or command.

    Examples
    --------
    >>> print(NeurodynError("bin_size must be positive", found=-1.0, expected="seconds above 0"))
    bin_size must be positive.
      found: -1.0
      expected: seconds above 0
    """

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        found: object = None,
        expected: object = None,
        hint: object = None,
    ) -> None:
        self.what, self.where = what, where
        self.found, self.expected, self.hint = found, expected, hint
        super().__init__(self._message())

    def _message(self) -> str:
        head = self.what if self.where is None else f"{self.what} (at {self.where})"
        lines = [head.rstrip(".") + "."]
        for name, value in (
            ("found", self.found),
            ("expected", self.expected),
            ("to go on", self.hint),
        ):
            if value is not None:
                lines.append(f"  {name}: {value}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self._message()


class ConfigError(NeurodynError):
    """A configuration holds an unknown key or a value that does not fit."""


class NotFittedError(NeurodynError, AttributeError):
    """An estimator is used before ``fit`` or ``load``."""


class MissingDependencyError(NeurodynError, ImportError):
    """An optional package is missing; the message names the install line."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed",
            expected=f"the optional package {package}",
            hint=f"pip install 'neurodyn[{extra}]'",
        )


class DataError(NeurodynError):
    """The data break a rule of their kind."""


class SchemaError(DataError):
    """A dataset is not a valid recording kind; all faults are listed at once."""


class SpikeTimesError(DataError):
    """Spike times are unsorted, not finite or outside the session."""


class TimebaseError(DataError):
    """A clock is not increasing, not finite, of wrong length or disagrees with another."""


class TrialTableError(DataError):
    """A trial table or one of its columns is missing or has impossible rows."""


class UnitScaleError(DataError):
    """Numbers stand in another physical unit than declared (ms or samples for seconds)."""


class ImageGeometryError(DataError):
    """Affines or orientations of images do not agree."""


class AtlasMismatchError(DataError):
    """Regions of an atlas are missing in the data."""


class CiftiError(DataError):
    """A CIFTI file has unexpected axes."""


class EmptySelectionError(DataError):
    """A selection, split or file holds nothing to work on."""


class DegenerateInputError(DataError):
    """The input determines no answer (constant signals, too few samples)."""


class FileError(NeurodynError, OSError):
    """A file cannot be used."""


class CorruptFileError(FileError):
    """A file is damaged or contradicts itself."""


class UnsupportedFormatError(FileError):
    """A file is of a format or version that neurodyn does not read."""


class UnsafeFileError(FileError):
    """A file reaches for data outside itself."""


class SizeBudgetError(FileError):
    """Reading would take more memory than the budget allows."""


class NetworkError(FileError):
    """A remote file could not be read; the network, not the file, is to blame."""


class CheckpointError(FileError):
    """A checkpoint cannot be written or read."""


class CheckpointCorruptError(CheckpointError):
    """A checkpoint is incomplete or its hashes disagree."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint belongs to another architecture, data set or version."""


class TrainingDivergedError(NeurodynError, ArithmeticError):
    """The loss or a gradient is not finite."""


class DataQualityWarning(UserWarning):
    """Data were fixed or dropped on request, or hold something worth knowing."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Phrase a hint that lists the known names, the closest ones first.

    Examples
    --------
    >>> suggest("bin_sise", ["bin_size", "start"])
    "did you mean 'bin_size'? known: bin_size, start"
    """
    names = sorted(map(str, known))
    close = get_close_matches(name, names, n=2, cutoff=0.6)
    ask = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{ask}known: {', '.join(names) if names else 'none'}"


def one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """Raise when ``value`` is none of the ``allowed`` ones.

    Raises
    ------
    ConfigError
        Naming the parameter, the value and the allowed values.

    Examples
    --------
    >>> one_of("on_bad", "raise", ["raise", "fix"])
    """
    choices = list(allowed)
    if value not in choices:
        raise ConfigError(
            f"invalid value for {name}",
            found=repr(value),
            expected=" or ".join(map(repr, choices)),
            hint=suggest(str(value), map(str, choices)),
        )
