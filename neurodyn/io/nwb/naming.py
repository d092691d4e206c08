"""Names, labels and text from files, made fit for datasets; the originals are kept in attrs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["attribute", "clean_name", "scalar_text", "unique_labels", "unique_name"]


def clean_name(name: str) -> str:
    """Return a name of letters, digits and underscores.

    Examples
    --------
    >>> clean_name("Größe [µm] / frame")
    'Größe_µm_frame'
    """
    return re.sub(r"\W+", "_", name).strip("_") or "unnamed"


def unique_name(name: str, taken: Iterable[str]) -> str:
    """Return a clean name that is not taken yet.

    Examples
    --------
    >>> unique_name("start", ["start", "stop"])
    'start_2'
    """
    base, used = clean_name(name), set(taken)
    candidate, number = base, 2
    while candidate in used:
        candidate, number = f"{base}_{number}", number + 1
    return candidate


def unique_labels(values: Sequence[Any] | NDArray[Any]) -> tuple[list[str], int]:
    """Return labels as text, repeated ones numbered, and how many were repeated.

    Examples
    --------
    >>> unique_labels([7, 8, 7])
    (['7', '8', '7_2'], 1)
    """
    texts = [str(value) for value in values]
    taken, seen, labels = set(texts), Counter[str](), []
    for text in texts:
        seen[text] += 1
        label = text
        while seen[text] > 1 and label in taken:
            label = f"{text}_{seen[text]}"
            seen[text] += label in taken
        taken.add(label)
        labels.append(label)
    return labels, len(texts) - len(set(texts))


def attribute(item: h5py.HLObject, name: str, default: Any = None) -> Any:
    """Return an HDF5 attribute as a plain Python value, bytes as text."""
    value = item.attrs.get(name, default)
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        return [_text(element) for element in value.ravel()]
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    return value.item() if isinstance(value, np.generic) else _text(value)


def scalar_text(group: h5py.Group, name: str) -> str:
    """Return a scalar text dataset, ``""`` if there is none."""
    from neurodyn.io.hdf5 import read_array

    item = group.get(name)
    if not isinstance(item, h5py.Dataset) or item.size != 1:
        return ""
    return str(_text(read_array(item).reshape(-1)[0]))


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
