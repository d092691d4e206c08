"""Nuisance series of a run: read from a table, as long as the run, and finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import (
    CorruptFileError,
    DataError,
    EmptySelectionError,
    TimebaseError,
    one_of,
    suggest,
)
from neurodyn.io.table_text import require_text

__all__ = ["Confounds", "read_confounds", "require_frames"]

Confounds = str | Path | pd.DataFrame | Mapping[str, ArrayLike]
SHOWN = 5


def read_confounds(
    source: Confounds,
    n_frames: int,
    where: object,
    *,
    columns: Sequence[str] | None = None,
    fill_first: Literal["zero"] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the nuisance series of a run by name, each ``(time,)``, float64.

    Parameters
    ----------
    source
        Table separated by tabs with a header, as fMRIPrep writes it (``n/a`` is missing), or
        the series themselves by name.
    n_frames
        Of the run.
    where
        The run, for messages.
    columns
        Names of the wanted ones; default all.
    fill_first
        ``"zero"`` puts 0 where the first frame alone is missing, as in derivatives and framewise
        displacement, which compare a frame with the one before.

    Raises
    ------
    FileError, FileNotFoundError
        If the table cannot be read.
    EmptySelectionError
        If there is no such column.
    TimebaseError
        If the table has another number of frames than the run.
    DataError
        If a series is not finite, or no numbers; names the columns.

    Examples
    --------
    >>> table = {"csf": [1.0, 2.0], "csf_derivative1": [np.nan, 1.0]}
    >>> read_confounds(table, 2, "run 1", fill_first="zero")["csf_derivative1"].tolist()
    [0.0, 1.0]
    """
    one_of("fill_first", fill_first, (None, "zero"))
    place = source if isinstance(source, str | Path) else f"{where}, confounds"
    table = _chosen(_table(source), columns, place)
    require_frames("confounds", len(table), n_frames, where)
    series = {str(name): table[name].to_numpy(np.float64, copy=True) for name in table.columns}
    if fill_first == "zero":
        for values in series.values():
            values[:1] = np.where(np.isnan(values[:1]), 0.0, values[:1])
    _require_finite(series, place)
    return series


def require_frames(what: str, n_found: int, n_frames: int, where: object) -> None:
    """Raise when something has another number of frames than the run that it belongs to.

    Raises
    ------
    TimebaseError
        Stating both numbers.

    Examples
    --------
    >>> require_frames("confounds", 3, 3, "run 1")
    """
    if n_found != n_frames:
        raise TimebaseError(
            f"{what} and run have different lengths",
            where=where,
            found=f"{n_found} frames of {what}, {n_frames} of the run",
            expected="one row for each frame",
            hint=f"give the {what} of this run; frames are never cut off to fit",
        )


def _table(source: Confounds) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    if not isinstance(source, str | Path):
        try:
            return pd.DataFrame({name: np.asarray(values) for name, values in source.items()})
        except ValueError as error:
            found = ", ".join(f"{name} {np.shape(values)}" for name, values in source.items())
            expected = "series of one axis and of equal length"
            raise DataError("confounds do not fit", found=found, expected=expected) from error
    path = Path(source)
    require_text(path)
    try:
        table = pd.read_csv(path, sep="\t", encoding="utf-8-sig")
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("rows have more cells than the header")
    except ValueError as error:
        raise CorruptFileError(
            "table of confounds cannot be read",
            where=path,
            found=error,
            expected="columns separated by tabs, with a header",
            hint="save the table again as .tsv in UTF-8",
        ) from error
    return table


def _chosen(table: pd.DataFrame, names: Sequence[str] | None, where: object) -> pd.DataFrame:
    """Return the wanted columns, which must hold numbers."""
    for name in () if names is None else names:
        if name not in table.columns:
            raise EmptySelectionError(
                f"there is no confound {name!r}",
                where=where,
                found=f"{len(table.columns)} columns",
                expected="one of its columns",
                hint=suggest(name, table.columns),
            )
    chosen = table if names is None else table[list(names)]
    texts = [str(name) for name in chosen.columns if chosen[name].dtype.kind not in "fiub"]
    if texts:
        raise DataError(
            "confounds are no numbers",
            where=where,
            found=_shown(texts),
            expected="numbers in every frame",
            hint="choose others by confound_columns=[...]",
        )
    return chosen


def _require_finite(series: Mapping[str, NDArray[np.float64]], where: object) -> None:
    finite = {name: np.isfinite(values) for name, values in series.items()}
    first = [name for name, ok in finite.items() if ok[1:].all() and not ok.all()]
    later = [name for name, ok in finite.items() if not ok[1:].all()]
    if not first and not later:
        return
    hint = "choose others by confound_columns=[...]"
    if not later:
        hint = f"fill_first='zero' puts 0 there; or {hint}"
    found: list[Any] = [f"the first frame is missing in {_shown(first)}"] if first else []
    found += [f"other frames are not finite in {_shown(later)}"] if later else []
    raise DataError(
        "confounds are not finite",
        where=where,
        found="; ".join(found),
        expected="a number in every frame",
        hint=hint,
    )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" * (len(names) > SHOWN))
