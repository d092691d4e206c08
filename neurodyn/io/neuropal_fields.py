"""The fields of a NeuroPAL file: whose traces they are, and when which stimulus was given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import CorruptFileError, DataError, TimebaseError, TrialTableError
from neurodyn.io.containment import printable
from neurodyn.io.faults import Fault, Quality
from neurodyn.io.mat_structure import NUMBERS, MatFile, Node
from neurodyn.io.nwb.naming import unique_labels

__all__ = ["Roi", "animal_labels", "numbers", "read_rate", "read_rois", "read_trials", "require"]

LEAVE_OUT = "on_bad='drop' leaves it out and counts it"


@dataclass(frozen=True)
class Roi:
    """One cell of one side in all animals.

    Parameters
    ----------
    label
        Name of the cell with its side: ``"AWAL"``.
    cell, side
        Name of the cell, and ``"L"``, ``"R"`` or ``""``.
    row
        Of the cell in the fields ``neurons`` and ``traces``.
    first
        Of its entries there, one for each animal.
    entries
        One for each animal, in the order of ``files``; empty where the cell was not seen.
    """

    label: str
    cell: str
    side: str
    row: int
    first: int
    entries: tuple[Node, ...]


def require(file: MatFile, where: str, *fields: str) -> None:
    """Require fields of the file.

    Raises
    ------
    CorruptFileError
        Naming those that are missing and what there is.
    """
    missing = [field for field in fields if field not in file.variables]
    if missing:
        raise CorruptFileError(
            f"NeuroPAL file lacks {', '.join(missing)}",
            where=where,
            found=", ".join(file.variables),
            expected=", ".join(fields),
            hint="save these variables too; load(select=...) reads what does not need them",
        )


def _texts(file: MatFile, where: str, field: str) -> list[str]:
    """Return a cell of texts.

    Raises
    ------
    CorruptFileError
        If it is anything else.
    """
    require(file, where, field)
    node = file.node(field)
    bad = [i for i, item in enumerate(node.items) if item.kind != "char"]
    if node.kind != "cell" or bad:
        found = f"{node.items[bad[0]].kind} in entry {bad[0] + 1}" if bad else f"a {node.kind}"
        raise _unfit(f"{field} is no cell of texts", f"{where}:{field}", found, "texts")
    return [printable(text).strip() for text in file.value(field)]


def numbers(file: MatFile, where: str, field: str) -> NDArray[np.float64]:
    """Return a field of numbers, two axes, float64.

    Raises
    ------
    CorruptFileError
        If it holds anything else.
    """
    require(file, where, field)
    node = file.node(field)
    if node.kind not in NUMBERS or len(node.shape) != 2:
        found = f"{'x'.join(map(str, node.shape))} {node.kind}"
        raise _unfit(f"{field} holds no numbers", f"{where}:{field}", found, "a matrix of numbers")
    return _real(file.value(field)).reshape(node.shape)  # an empty one has a shape of its own


def read_rate(file: MatFile, where: str) -> float:
    """Return the frames per second.

    Raises
    ------
    CorruptFileError
        If the field is missing or no number.
    TimebaseError
        If it is not one number above 0.
    """
    rate = numbers(file, where, "fps")
    if rate.size != 1 or not np.isfinite(rate).all() or rate.item() <= 0:
        raise TimebaseError(
            "fps is no frame rate",
            where=f"{where}:fps",
            found=np.array2string(rate.ravel(), threshold=5),
            expected="one number above 0 [Hz]",
            hint="save the file again with the frame rate of its traces",
        )
    return float(rate.item())


def animal_labels(file: MatFile, where: str, quality: Quality) -> list[str]:
    """Return a label for each animal, from the names of the files it came from."""
    labels, n_repeated = unique_labels(_texts(file, where, "files"))
    if not labels:
        raise _unfit("file holds no animals", f"{where}:files", "no names", "one for each animal")
    quality.note("repeated_animals", n_repeated)
    return labels


def read_rois(file: MatFile, where: str, field: str, n_animals: int, quality: Quality) -> list[Roi]:
    """Return all rois in the order of the file, the left one of a pair first.

    Parameters
    ----------
    file, where
        The file and its name.
    field
        ``"traces"`` or another field of the same layout.
    n_animals
        Entries of one side.
    quality
        Decides on ``impossible_cells`` and ``repeated_cells``.

    Raises
    ------
    CorruptFileError
        If fields are missing or do not belong together.
    DataError
        If a cell has another number of traces than animals, or contradicts ``is_L``, or two
        have one name, and the policy does not settle it.
    """
    names, node = _texts(file, where, "neurons"), file.node(field)
    sides = _sides_of_traces(file, where, len(names))
    if node.kind != "cell" or len(node.items) != len(names):
        raise _unfit(
            f"neurons and {field} do not belong together",
            f"{where}:{field}",
            f"{len(names)} neurons, {field} is a {'x'.join(map(str, node.shape))} {node.kind}",
            "a cell with one entry for each neuron",
        )
    rois: list[Roi] = []
    for row, (name, cell) in enumerate(zip(names, node.items)):
        try:
            place = f"{where}:{field}, cell {name or f'number {row + 1}'}"
            found = _sides(name, cell, n_animals, sides[row], place)
        except DataError as error:
            quality.decide(Fault.of("impossible_cells", error), can=("drop",))
            continue
        for first, side in zip(range(0, cell.size, n_animals), found):
            entries = cell.items[first : first + n_animals]
            rois.append(Roi(f"{name}{side}", name, side, row, first, entries))
    return _distinct(rois, f"{where}:neurons", quality)


def read_trials(file: MatFile, where: str, quality: Quality) -> xr.Dataset:
    """Return the stimuli of each animal as trials with columns ``stimulus`` and ``animal``.

    Raises
    ------
    CorruptFileError
        If fields are missing or do not belong together.
    TrialTableError
        If a stimulus has no name, or stops before it starts, and the policy does not settle it.
    """
    require(file, where, "stim_names", "stim_times", "stims")
    names = np.array([*_texts(file, where, "stim_names"), ""])
    times, codes = numbers(file, where, "stim_times"), numbers(file, where, "stims")
    animals = np.array(animal_labels(file, where, quality))
    if times.shape[1] != 2 or codes.shape != (animals.size, times.shape[0]):
        raise _unfit(
            "stims and stim_times do not belong together",
            f"{where}:stims",
            f"stims {codes.shape}, stim_times {times.shape}, {animals.size} files",
            "stims (file, slot), stim_times (slot, 2)",
        )
    keep = np.isfinite(codes)
    quality.note("slots_without_stimulus", int((~keep).sum()))
    unnamed = keep & ((codes != np.rint(codes)) | (codes < 1) | (codes >= names.size))
    if unnamed.any():
        error = _unnamed(codes, unnamed, animals, names.size - 1, where)
        quality.decide(Fault.of("unnamed_stimuli", error), n=int(unnamed.sum()), can=("drop",))
        keep &= ~unnamed
    keep &= _possible(times, keep, where, quality)
    animal, slot = np.nonzero(keep)
    columns = {"stimulus": names[codes[keep].astype(int) - 1], "animal": animals[animal]}
    return recording.trials(times[slot, 0], times[slot, 1], columns=columns)


def _sides_of_traces(
    file: MatFile, where: str, n_cells: int
) -> list[NDArray[np.float64]] | list[None]:
    """Return ``is_L`` of each cell, None if the file does not say."""
    if "is_L" not in file.variables:
        return [None] * n_cells
    node = file.node("is_L")
    if node.kind != "cell" or len(node.items) != n_cells:
        found = f"{n_cells} neurons, is_L is a {'x'.join(map(str, node.shape))} {node.kind}"
        expected = "a cell with one entry for each neuron"
        raise _unfit("neurons and is_L do not belong together", f"{where}:is_L", found, expected)
    values = file.value("is_L")
    return [_real(v if n.kind in NUMBERS else []).ravel() for v, n in zip(values, node.items)]


def _sides(
    name: str, cell: Node, n_animals: int, is_left: NDArray[Any] | None, place: str
) -> tuple[str, ...]:
    """Return the sides of which a cell has traces."""
    if not name or cell.kind != "cell":
        raise _impossible(
            "cell has no name" if not name else "cell has no traces",
            place,
            f"a {'x'.join(map(str, cell.shape))} {cell.kind}",
            "a name, and a cell of traces",
        )
    if cell.size not in (n_animals, 2 * n_animals):
        raise _impossible(
            "cell has another number of traces than there are files",
            place,
            f"{cell.size} traces",
            f"{n_animals}, or {2 * n_animals} for a pair: one for each file",
        )
    n_sides = cell.size // n_animals
    if is_left is None:
        return ("L", "R")[:n_sides] if n_sides == 2 else ("",)
    if is_left.size != cell.size:
        raise _impossible(
            "cell has another number of entries in is_L than traces",
            place,
            f"{is_left.size} in is_L, {cell.size} traces",
            "the same number",
        )
    found = [_side(part) for part in is_left.reshape(n_sides, n_animals)]
    if found == [None, None]:
        return ("L", "R")
    if (n_sides == 2 and sorted(map(str, found)) != ["L", "R"]) or "?" in found:
        raise _impossible(
            "sides of a cell contradict its traces",
            place,
            f"is_L {np.array2string(is_left, threshold=6)}",
            "1 for all left traces, then 0 for all right ones; NaN for no side",
        )
    return tuple(side or "" for side in found)


def _side(is_left: NDArray[Any]) -> str | None:
    known = set(is_left[np.isfinite(is_left)].tolist())
    return {frozenset(): None, frozenset({1.0}): "L", frozenset({0.0}): "R"}.get(
        frozenset(known), "?"
    )


def _distinct(rois: list[Roi], where: str, quality: Quality) -> list[Roi]:
    n_of_label = Counter(roi.label for roi in rois)
    repeated = [label for label, n in n_of_label.items() if n > 1]
    if not repeated:
        return rois
    rows = [str(roi.row + 1) for roi in rois if roi.label == repeated[0]]
    error = DataError(
        "two cells have the same name",
        where=f"{where}, {', '.join(repeated[:5])}",
        found=f"{repeated[0]} in entries {' and '.join(rows)}",
        expected="a name of its own for each cell",
        hint="on_bad='drop' keeps the first of them, 'warn' numbers them",
    )
    n = sum(n_of_label[label] - 1 for label in repeated)
    if quality.decide(Fault.of("repeated_cells", error), n=n) == "drop":
        first = {roi.label: roi for roi in reversed(rois)}
        return [roi for roi in rois if first[roi.label] is roi]
    labels = unique_labels([roi.label for roi in rois])[0]
    return [
        Roi(label, roi.cell, roi.side, roi.row, roi.first, roi.entries)
        for label, roi in zip(labels, rois)
    ]


def _unnamed(
    codes: NDArray[Any], unnamed: NDArray[Any], animals: NDArray[Any], n_names: int, where: str
) -> TrialTableError:
    animal, slot = np.argwhere(unnamed)[0]
    return TrialTableError(
        "stimulus has no name",
        where=f"{where}:stims, animal {animals[animal]}, slot {slot + 1}",
        found=f"{codes[animal, slot]:g} ({int(unnamed.sum())} such of {codes.size})",
        expected=f"1 to {n_names}: a place in stim_names, or NaN for no stimulus",
        hint="on_bad='drop' leaves these stimuli out and counts them",
    )


def _possible(
    times: NDArray[Any], keep: NDArray[np.bool_], where: str, quality: Quality
) -> NDArray[np.bool_]:
    """Return which slots are left after those that stop before or as they start are settled."""
    possible: NDArray[np.bool_] = np.isfinite(times).all(axis=1) & (times[:, 1] > times[:, 0])
    n_bad = int((keep & ~possible).sum())
    if not n_bad:
        return possible
    slot = int(np.flatnonzero(~possible)[0])
    error = TrialTableError(
        "stimulus stops before or as it starts",
        where=f"{where}:stim_times, slot {slot + 1}",
        found=f"{times[slot, 0]:g} to {times[slot, 1]:g} s",
        expected="finite start < stop [s]",
        hint="on_bad='drop' leaves these stimuli out and counts them",
    )
    if quality.decide(Fault.of("impossible_trials", error), n=n_bad) == "warn":
        possible[:] = True
    return possible


def _real(values: Any) -> NDArray[np.float64]:
    return np.asarray(np.real(values), dtype=np.float64)


def _unfit(what: str, where: str, found: object, expected: str) -> CorruptFileError:
    hint = "load(select=...) reads what does not need it"
    return CorruptFileError(what, where=where, found=found, expected=expected, hint=hint)


def _impossible(what: str, where: str, found: object, expected: str) -> DataError:
    return DataError(what, where=where, found=found, expected=expected, hint=LEAVE_OUT)
