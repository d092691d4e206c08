"""Several sessions as one recording, laid one after another in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.errors import ConfigError, DataError, EmptySelectionError
from neurodyn.provenance import add_history
from neurodyn.recording import names, pick
from neurodyn.recording import recording as build_recording
from neurodyn.recording import spikes as build_spikes
from neurodyn.recording import trials as build_trials
from neurodyn.recording.sampled import behavior as build_behavior
from neurodyn.transforms.observation import observation_intervals

__all__ = ["concatenate_sessions"]

KINDS = ("spikes", "trials", "behavior")


def concatenate_sessions(sessions: Mapping[str, xr.DataTree], *, gap: float = 1.0) -> xr.DataTree:
    """Join sessions: every unit keeps its identity as ``session/unit``.

    Units are never matched by position or by a name that two sessions happen to share. A unit is
    observed during its own session only, so that binning marks all else as missing. Sessions
    follow each other with ``gap`` seconds between them; ids of trials become ``session/trial``,
    and the column ``session`` of units and trials says where they are from.

    Parameters
    ----------
    sessions
        Recordings by name, in order. Spikes, trials and behavior are joined.
    gap
        Time between sessions [s]; whole seconds keep bins on the ticks of every clock.

    Returns
    -------
    xr.DataTree
        A recording. Columns, and amplitudes, that not all sessions have are left out and counted in
        ``attrs["quality"]``; ``attrs["session_offset"]`` [s] by name says what was added to times.

    Raises
    ------
    EmptySelectionError
        If there is no session or one without spikes.
    ConfigError
        If the gap is negative or a name holds a slash.
    DataError
        If the sessions hold other kinds, their behavior has other features or their amplitudes
        another unit.

    Examples
    --------
    >>> from neurodyn.recording import recording, spikes_from_units
    >>> day = recording([spikes_from_units({"1": [0.5]}, observed=[[0.0, 2.0]])])
    >>> both = concatenate_sessions({"mon": day, "tue": day})
    >>> both["spikes"]["unit"].values.tolist(), both["spikes"]["spike_time"].values.tolist()
    (['mon/1', 'tue/1'], [0.5, 3.5])
    """
    _check(sessions, gap)
    spans = {name: _span(session) for name, session in sessions.items()}
    offsets = _offsets(spans, gap)
    children: dict[str, Any] = {"spikes": _spikes(sessions, spans, offsets)}
    if all("trials" in session.children for session in sessions.values()):
        children["trials"] = _trials(sessions, offsets)
    if all("behavior" in session.children for session in sessions.values()):
        children["behavior"] = _behavior(sessions, offsets)
    kinds = {kind for session in sessions.values() for kind in names(session)}
    left_out = sorted(kinds - children.keys())
    if left_out:
        raise DataError(
            "these kinds cannot be joined over sessions",
            found=", ".join(left_out),
            expected=f"{', '.join(KINDS)}, each in all sessions or in none",
            hint="leave them out first: neurodyn.recording.recording([...])",
        )
    result = build_recording(children, session_offset=offsets)
    return add_history(result, "concatenate_sessions", sessions=list(sessions), gap=gap)


def _check(sessions: Mapping[str, xr.DataTree], gap: float) -> None:
    if not sessions:
        raise EmptySelectionError("there is no session to join")
    if not (np.isfinite(gap) and gap >= 0):
        raise ConfigError("the gap between sessions must not be negative", found=f"gap={gap} s")
    slashed = [name for name in sessions if "/" in str(name) or not str(name)]
    if slashed:
        raise ConfigError("names of sessions hold no slash", found=repr(slashed[0]))


def _span(session: xr.DataTree) -> tuple[float, float]:
    """Return begin and end [s] of everything in a session, in whole seconds."""
    spikes = pick(session, "spikes")
    time = spikes["spike_time"].values
    # the last spike lies inside the half-open session
    found = [time.min(initial=0.0), np.nextafter(time.max(initial=0.0), np.inf)]
    if "obs_start" in spikes:
        found += [spikes["obs_start"].values.min(initial=0.0), *spikes["obs_stop"].values]
    for kind, children in names(session).items():
        for name in children:
            ds = pick(session, kind, name)
            if kind == "trials":
                found += [*ds["start"].values, *ds["stop"].values]
            elif kind == "behavior":
                found += [ds["time"].values[0], ds["time"].values[-1]]
    return float(np.floor(np.nanmin(found))), float(np.ceil(np.nanmax(found)))


def _offsets(spans: Mapping[str, tuple[float, float]], gap: float) -> dict[str, float]:
    offsets, free = {}, None
    for name, (begin, end) in spans.items():
        offsets[str(name)] = 0.0 if free is None else free - begin
        free = offsets[str(name)] + end + gap
    return offsets


def _spikes(
    sessions: Mapping[str, xr.DataTree],
    spans: Mapping[str, tuple[float, float]],
    offsets: Mapping[str, float],
) -> xr.Dataset:
    parts = {name: pick(session, "spikes") for name, session in sessions.items()}
    rates = {name: float(part.attrs["tick_hz"]) for name, part in parts.items()}
    if len(set(rates.values())) > 1:
        raise DataError("sessions have different clocks", found=rates, expected="one tick_hz")
    observed = [
        interval + offsets[name]
        for name, part in parts.items()
        for interval in _observed(part, spans[name])
    ]
    columns, n_left_out = _common_columns(parts, "unit")
    columns["session"] = np.repeat(list(parts), [part.sizes["unit"] for part in parts.values()])
    amplitude = _amplitude(parts)
    n_left_out += amplitude is None and any("amplitude" in part for part in parts.values())
    table = np.concatenate([*observed, np.empty((0, 2))])
    found = build_spikes(
        np.concatenate([part["spike_time"].values + offsets[n] for n, part in parts.items()]),
        np.concatenate([part["row_size"].values for part in parts.values()]),
        [f"{name}/{unit}" for name, part in parts.items() for unit in part["unit"].values],
        observed=(table[:, 0], table[:, 1], [len(own) for own in observed]),
        unit_columns=columns,
        tick_hz=next(iter(rates.values())),
        **_quality(n_left_out),
    )
    return found if amplitude is None else found.assign(amplitude=amplitude)


def _amplitude(parts: Mapping[str, xr.Dataset]) -> xr.Variable | None:
    """Return the amplitudes of the spikes of all sessions, if all have them."""
    if not all("amplitude" in part for part in parts.values()):
        return None
    units = {name: part["amplitude"].attrs.get("units", "") for name, part in parts.items()}
    if len(set(units.values())) > 1:
        raise DataError(
            "amplitudes have different units",
            found=units,
            expected="one unit",
            hint="scale them first, or leave the amplitudes out with drop_vars",
        )
    values = np.concatenate([part["amplitude"].values for part in parts.values()])
    return xr.Variable(("spike",), values, next(iter(parts.values()))["amplitude"].attrs)


def _observed(spikes: xr.Dataset, span: tuple[float, float]) -> list[NDArray[np.float64]]:
    intervals = observation_intervals(spikes)
    return [np.array([span])] * spikes.sizes["unit"] if intervals is None else intervals


def _trials(sessions: Mapping[str, xr.DataTree], offsets: Mapping[str, float]) -> xr.Dataset:
    parts = {
        name: _shift_times(pick(session, "trials"), offsets[name])
        for name, session in sessions.items()
    }
    columns, n_left_out = _common_columns(parts, "trial")
    columns["session"] = np.repeat(list(parts), [part.sizes["trial"] for part in parts.values()])
    start, stop = columns.pop("start"), columns.pop("stop")
    return build_trials(
        start,
        stop,
        trial=[f"{name}/{trial}" for name, part in parts.items() for trial in part["trial"].values],
        columns=columns,
        **_quality(n_left_out),
    )


def _shift_times(table: xr.Dataset, offset: float) -> xr.Dataset:
    """Move the columns that are times: ``start``, ``stop``, ``*_time`` and those in seconds."""
    moved = {}
    for name, variable in table.data_vars.items():
        timed = name in ("start", "stop") or str(name).endswith("_time")
        if variable.dtype.kind == "f" and (timed or variable.attrs.get("units") == "s"):
            moved[name] = variable + offset
    return table.assign(moved)


def _behavior(
    sessions: Mapping[str, xr.DataTree], offsets: Mapping[str, float]
) -> dict[str, xr.Dataset] | xr.Dataset:
    series = [names(session)["behavior"] for session in sessions.values()]
    if any(other != series[0] for other in series[1:]):
        raise DataError("sessions hold different behavior", found=series)
    joined = {}
    for which in series[0]:
        parts = {name: pick(session, "behavior", which) for name, session in sessions.items()}
        first = next(iter(parts.values()))
        features = first["feature"].values.tolist()
        for name, part in parts.items():
            if set(part["feature"].values.tolist()) != set(features):
                raise DataError(
                    "features of behavior differ between sessions",
                    where=name,
                    found=part["feature"].values.tolist(),
                    expected=features,
                )
        joined[which] = build_behavior(
            np.concatenate(
                [
                    p["value"].sel(feature=features).transpose("time", "feature").values
                    for p in parts.values()
                ]
            ),
            time=np.concatenate([p["time"].values + offsets[n] for n, p in parts.items()]),
            feature=features,
            units=first["feature_units"].values.tolist() if "feature_units" in first else "",
        )
    return joined[""] if list(joined) == [""] else joined


def _common_columns(
    parts: Mapping[str, xr.Dataset], dim: str
) -> tuple[dict[str, NDArray[Any]], int]:
    """Return the one-dimensional columns of all sessions, joined, and how many only some have."""
    tables = [
        {str(n): v.values for n, v in part.variables.items() if v.dims == (dim,) and n != dim}
        for part in parts.values()
    ]
    ragged = ("row_size", "obs_row_size")
    common = [n for n in tables[0] if n not in ragged and all(n in table for table in tables)]
    every = {n for table in tables for n in table if n not in ragged}
    joined = {name: np.concatenate([table[name] for table in tables]) for name in common}
    return joined, len(every) - len(common)


def _quality(n_left_out: int) -> dict[str, Any]:
    return {"quality": {"columns_left_out": n_left_out}} if n_left_out else {}
