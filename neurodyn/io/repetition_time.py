"""The repetition time of an fMRI run: from its header, its sidecar, or the caller."""

from __future__ import annotations

import math

from neurodyn.errors import NeurodynError, TimebaseError, UnitScaleError

__all__ = ["in_seconds", "settle_repetition_time"]

SECONDS = {"second": 1.0, "sec": 1.0, "s": 1.0, "msec": 1e-3, "ms": 1e-3, "usec": 1e-6, "us": 1e-6}
AGREEMENT = 1e-3
LONGEST = 60.0
SHORTEST_UNKNOWN, LONGEST_UNKNOWN = 0.2, 15.0
GIVE = "repetition_time=... [s]"


def in_seconds(value: float, unit: str, where: object) -> float:
    """Return the time step of a header in seconds.

    Parameters
    ----------
    value
        The number in the header; 0 and NaN mean that it does not say, and come back as they are.
    unit
        As headers name it: ``"sec"``, ``"msec"``, ``"usec"`` (NIfTI), ``"SECOND"`` (CIFTI), or
        ``"unknown"``, where a number of 0.2 to 15 is taken as seconds.
    where
        The file, for messages.

    Raises
    ------
    UnitScaleError
        If the unit is unknown and the number is hardly one of seconds, or the unit is none of
        time.

    Examples
    --------
    >>> in_seconds(2000.0, "msec", "bold.nii")
    2.0
    """
    name = unit.lower()
    if name in SECONDS:
        # 720 / 1000 is 0.72, 720 * 0.001 is not
        return value / round(1 / SECONDS[name])
    if name != "unknown":
        raise UnitScaleError(
            "steps of a series are no times",
            where=where,
            found=f"unit {unit}",
            expected="seconds or milliseconds",
            hint=f"say {GIVE}",
        )
    if value == 0 or math.isnan(value) or SHORTEST_UNKNOWN <= value <= LONGEST_UNKNOWN:
        return value
    raise UnitScaleError(
        "repetition time has no unit and is hardly one of seconds",
        where=where,
        found=f"{value:g}, unit unknown" + _as_milliseconds(value),
        expected=f"{SHORTEST_UNKNOWN} to {LONGEST_UNKNOWN:g} s, or a header that names its unit",
        hint=f"say {GIVE}",
    )


def settle_repetition_time(
    header_seconds: float | None, sidecar: float | None, given: float | None, where: object
) -> float:
    """Return the one repetition time [s] of a run, or say why there is none.

    What the caller gives settles it. Without it, header and sidecar must agree within 1 ms, and
    one of them is enough where the other is silent. A header above 60 s is taken for
    milliseconds where the sidecar says the same in seconds.

    Parameters
    ----------
    header_seconds
        From the header, in seconds (:func:`in_seconds`); None, 0 and NaN are silent.
    sidecar
        ``RepetitionTime`` [s] of the JSON sidecar, None if it has none.
    given
        What the caller says [s].
    where
        The file, for messages.

    Raises
    ------
    TimebaseError
        If nothing says it, a number is impossible, or header and sidecar disagree; shows both.
    UnitScaleError
        If a number of seconds is above 60, so hardly one of seconds.

    Examples
    --------
    >>> settle_repetition_time(0.0, 2.0, None, "bold.nii")
    2.0
    >>> settle_repetition_time(1.0, 2.0, None, "bold.nii")
    Traceback (most recent call last):
    neurodyn.errors.TimebaseError: header and sidecar disagree about the repetition time ...
      found: header 1 s, sidecar 2 s
      ...
    """
    if given is not None:
        return _checked(given, "repetition_time", where)
    header = header_seconds if header_seconds and not math.isnan(header_seconds) else None
    if header is not None and sidecar is not None:
        _require_agreement(header, sidecar, where)
    if sidecar is not None:
        return _checked(sidecar, "sidecar", where)
    if header is not None:
        return _checked(header, "header", where)
    raise TimebaseError(
        "repetition time is unknown",
        where=where,
        found="no header" if header_seconds is None else f"{header_seconds:g} in the header",
        expected="a time above 0 s in the header, or RepetitionTime in a JSON sidecar",
        hint=f"say {GIVE}",
    )


def _require_agreement(header: float, sidecar: float, where: object) -> None:
    # a header may hold the time in single precision
    if abs(header - sidecar) <= AGREEMENT + 1e-6:
        return
    if header > LONGEST and abs(header / 1e3 - sidecar) <= AGREEMENT + 1e-6:
        return
    raise TimebaseError(
        "header and sidecar disagree about the repetition time",
        where=where,
        found=f"header {header:g} s, sidecar {sidecar:g} s",
        expected=f"the same within {AGREEMENT * 1e3:g} ms",
        hint=f"{GIVE} settles it",
    )


def _checked(value: float, name: str, where: object) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    error: type[NeurodynError] = TimebaseError
    what, found = "repetition time is impossible", f"{name} {value!r}"
    if math.isfinite(number) and number > LONGEST:
        error, what = UnitScaleError, "repetition time is hardly one of seconds"
        found = f"{name} {number:g}" + _as_milliseconds(number)
    elif math.isfinite(number) and number > 0:
        return number
    expected = f"seconds above 0, at most {LONGEST:g}"
    raise error(what, where=where, found=found, expected=expected, hint=f"say {GIVE}")


def _as_milliseconds(value: float) -> str:
    low, high = SHORTEST_UNKNOWN * 1e3, LONGEST_UNKNOWN * 1e3
    return f"; as milliseconds it were {value / 1e3:g} s" if low <= value <= high else ""
