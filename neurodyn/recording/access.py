"""Reach into a recording: pick one dataset, mask counts, scale signals, say what there is."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike

from neurodyn.errors import DataError, EmptySelectionError, suggest

__all__ = [
    "describe",
    "masked_counts",
    "names",
    "physical",
    "pick",
    "pick_all",
    "pick_behavior",
    "unit_spike_times",
]


def names(recording: xr.DataTree) -> dict[str, list[str]]:
    """Return the names of the datasets of each kind; a single one is named ``""``.

    Examples
    --------
    >>> from neurodyn import recording as build
    >>> names(build.recording([build.trials([0.0], [1.0])]))
    {'trials': ['']}
    """
    found: dict[str, list[str]] = {}
    for kind, node in recording.children.items():
        found[kind] = list(node.children) if node.children else [""]
    return found


def pick(recording: xr.DataTree | xr.Dataset, kind: str, name: str | None = None) -> xr.Dataset:
    """Return one dataset of a recording.

    Parameters
    ----------
    recording
        A recording; a dataset of the wanted kind is returned as it is.
    kind
        ``spikes``, ``counts``, ``signal``, ``bold``, ``behavior`` or ``trials``.
    name
        Which one, if there are several; the one named like its kind (``trials/trials``) is the
        default. A single one answers to the name that it has in its file.

    Raises
    ------
    EmptySelectionError
        If there is none of that kind or name; lists what there is.
    DataError
        If there are several and ``name`` is not given.

    Examples
    --------
    >>> from neurodyn import recording as build
    >>> tree = build.recording([build.trials([0.0], [1.0])])
    >>> pick(tree, "trials").sizes["trial"]
    1
    """
    if isinstance(recording, xr.Dataset):
        if recording.attrs.get("kind") == kind:
            return recording
        raise EmptySelectionError(
            f"dataset is not of kind {kind!r}", found=recording.attrs.get("kind")
        )
    present = names(recording)
    if kind not in present:
        raise EmptySelectionError(
            f"the recording has no {kind}",
            where=recording.attrs.get("source"),
            found=", ".join(sorted(present)) or "nothing",
        )
    choices = present[kind]
    if name is None and kind in choices:
        # of several interval tables, the one that is called trials is meant
        name = kind
    if name is None and len(choices) > 1:
        raise DataError(
            f"the recording has several {kind}",
            found=", ".join(choices),
            hint=f"choose one by name, for example name={choices[0]!r}",
        )
    node = recording.children[kind]
    chosen = choices[0] if name is None or name == node.attrs.get("name") else name
    if chosen not in choices:
        raise EmptySelectionError(f"no {kind} of name {chosen!r}", hint=suggest(chosen, choices))
    node = node.children[chosen] if chosen else node
    return node.to_dataset(inherit=False)


def pick_all(recording: xr.DataTree | xr.Dataset, kind: str) -> dict[str, xr.Dataset]:
    """Return all datasets of a kind by name; a single one is named ``""``, as in :func:`names`.

    Parameters
    ----------
    recording
        A recording; a dataset of the wanted kind is one, under its ``attrs["name"]`` if it has one.
    kind
        As in :func:`pick`.

    Raises
    ------
    EmptySelectionError
        If a dataset is of another kind.

    Examples
    --------
    >>> from neurodyn import recording as build
    >>> list(pick_all(build.recording([build.trials([0.0], [1.0])]), "trials"))
    ['']
    """
    if isinstance(recording, xr.Dataset):
        return {str(recording.attrs.get("name", "")): pick(recording, kind)}
    if kind not in recording.children:
        return {}
    node = recording.children[kind]
    # looked up once: there may be a thousand
    nodes = dict(node.children) or {"": node}
    return {name: child.to_dataset(inherit=False) for name, child in nodes.items()}


def pick_behavior(recording: xr.DataTree | xr.Dataset, name: str) -> xr.Dataset:
    """Return a behavior named by its dataset or, if one dataset alone has it, by its feature.

    Parameters
    ----------
    recording
        A recording, or one dataset of kind ``behavior``.
    name
        Of a dataset, with all its features, or of one feature. Datasets go first.

    Returns
    -------
    xr.Dataset
        Kind ``behavior``, dims ``(time, feature)``.

    Raises
    ------
    EmptySelectionError
        If there is no behavior, or none of that name; lists what there is.
    DataError
        If several datasets have the feature.

    Examples
    --------
    >>> from neurodyn import recording as build
    >>> hand = build.behavior([[0.0, 1.0]], sampling_rate=100.0, feature=["x", "y"])
    >>> pick_behavior(build.recording({"behavior": {"hand": hand}}), "y").sizes["feature"]
    1
    """
    children = pick_all(recording, "behavior")
    if not children:
        return pick(recording, "behavior")
    # a single one answers to the name that it has in its file, as in pick
    named = {ds.attrs.get("name"): ds for ds in children.values()} if len(children) == 1 else {}
    found = children.get(name, named.get(name))
    if found is not None:
        return found
    owners = [child for child, ds in children.items() if name in ds["feature"].values.tolist()]
    if len(owners) > 1:
        raise DataError(
            f"several behaviors have a feature {name!r}",
            found=", ".join(owners),
            hint=f"name one of them, for example {owners[0]!r}, or leave the others out",
        )
    if not owners:
        features = [str(label) for ds in children.values() for label in ds["feature"].values]
        known = {*filter(None, [*children, *map(str, filter(None, named))]), *features}
        raise EmptySelectionError(
            f"no behavior or feature of name {name!r}", hint=suggest(name, known)
        )
    return children[owners[0]].sel(feature=[name])


def masked_counts(counts: xr.Dataset) -> xr.DataArray:
    """Return counts as float32 with NaN where nothing was observed.

    Parameters
    ----------
    counts
        Kind ``counts``, dims ``([trial,] time, unit)``.

    Examples
    --------
    >>> from neurodyn import recording as build
    >>> ds = build.counts([[1], [2]], bin_size=0.1, observed=[True, False])
    >>> masked_counts(ds).values.ravel().tolist()
    [1.0, nan]
    """
    values = counts["count"].astype(np.float32)
    return values.where(counts["observed"]) if "observed" in counts else values


def physical(signal: xr.Dataset, dtype: DTypeLike = np.float32) -> xr.DataArray:
    """Return a signal in its physical unit: ``raw * scale * conversion + offset``.

    Parameters
    ----------
    signal
        Kind ``signal``, dims ``([animal,] time, channel)`` or ``([animal,] time, roi)``.
    dtype
        Of the values, computed in float64.

    Examples
    --------
    >>> from neurodyn import recording as build
    >>> physical(build.signal([[2]], sampling_rate=1.0, scale_factor=0.5)).item()
    1.0
    """
    raw = signal["signal"]
    scale = raw.attrs.get("scale_factor", 1.0)
    if "channel_conversion" in signal.coords:
        scale = scale * signal["channel_conversion"]
    values: xr.DataArray = raw.astype(np.float64) * scale + raw.attrs.get("add_offset", 0.0)
    return values.astype(dtype).transpose(*raw.dims).assign_attrs(units=raw.attrs.get("units", ""))


def unit_spike_times(spikes: xr.Dataset, unit: str) -> np.ndarray:
    """Return the spike times [s] of one unit, shape ``(spike,)``, float64.

    Raises
    ------
    EmptySelectionError
        If there is no such unit.

    Examples
    --------
    >>> from neurodyn import recording as build
    >>> unit_spike_times(build.spikes_from_units({"a": [0.1], "b": [0.2, 0.3]}), "b")
    array([0.2, 0.3])
    """
    labels = spikes["unit"].values.tolist()
    if unit not in labels:
        raise EmptySelectionError(f"no unit {unit!r}", hint=suggest(str(unit), labels))
    row = labels.index(unit)
    stop = int(spikes["row_size"].values[: row + 1].sum())
    start = stop - int(spikes["row_size"].values[row])
    return np.asarray(spikes["spike_time"][start:stop].values)


def describe(recording: xr.DataTree) -> str:
    """Say in a few lines what a recording holds, without reading its data.

    Examples
    --------
    >>> from neurodyn import recording as build
    >>> print(describe(build.recording([build.trials([0.0], [1.0])], subject="J")))
    recording  subject=J
      trials   1 trial: start, stop
    """
    root = [
        f"{name}={recording.attrs[name]}"
        for name in ("source", "subject", "species", "session_start")
        if recording.attrs.get(name)
    ]
    lines = ["  ".join(["recording", *root])]
    for kind, children in names(recording).items():
        for name in children:
            ds = pick(recording, kind, name)
            label = f"{kind}/{name}" if name else kind
            lines.append(f"  {label:<8} {_summary(ds)}")
            if ds.attrs.get("fault"):
                lines.append(f"           ! {ds.attrs['fault']}")
    return "\n".join(lines)


def _summary(ds: xr.Dataset) -> str:
    sizes = ", ".join(f"{n:,} {dim}{'s' * (n != 1)}" for dim, n in _main_sizes(ds).items())
    held = ", ".join(map(str, ds.data_vars))
    clock = ds.attrs.get("sampling_rate") or ds.attrs.get("bin_size")
    unit = "Hz" if "sampling_rate" in ds.attrs else "s bins"
    return f"{sizes}: {held}" + (f" ({clock:g} {unit})" if clock else "")


def _main_sizes(ds: xr.Dataset) -> dict[str, int]:
    nodes = ("unit", "channel", "roi", "voxel", "vertex", "feature")
    shown = ("spike", "trial", "animal", "time", *nodes)
    return {dim: ds.sizes[dim] for dim in shown if dim in ds.sizes}
