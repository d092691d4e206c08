"""Source estimates of mne, averaged over the regions of a parcellation: one axis ``roi``.

The axis is always that of the labels: a region without a source is NaN with coverage 0. Means in
a volume are over the part of a region that is covered; mne (Gramfort et al., NeuroImage 86, 2014,
446) takes the rest for zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording
from neurodyn.errors import (
    ConfigError,
    CorruptFileError,
    DataError,
    MissingDependencyError,
    UnsupportedFormatError,
)
from neurodyn.io.containment import printable
from neurodyn.io.faults import Quality
from neurodyn.io.lost_rois import require_rois
from neurodyn.io.mne_files import quietly, unreadable
from neurodyn.io.regions import hemisphere_of, region_table

__all__ = ["source_signal"]

SIDES = {"lh": "left", "rh": "right", "both": ""}


def source_signal(
    estimate: Any,
    labels: Sequence[Any] | Mapping[str, int],
    source_space: Any,
    *,
    atlas: str | Path | None = None,
    mode: str = "auto",
    max_missing_roi: float = 0.1,
    units: str = "",
    **attrs: Any,
) -> xr.Dataset:
    """Return the time courses of regions from a source estimate.

    Parameters
    ----------
    estimate
        ``mne.SourceEstimate`` or ``mne.VolSourceEstimate``, or the path of its ``.stc`` file.
    labels
        Of a surface: ``mne.Label`` of each region. Of a volume: values in ``atlas`` by name.
    source_space
        ``mne.SourceSpaces`` that it was made with (``inverse["src"]``), or the path of its file.
    atlas
        Label image on the voxels of the MRI that a volume was made with.
    mode
        As in :func:`mne.extract_label_time_course`.
    max_missing_roi
        Share of regions that may hold no source.
    units, **attrs
        Physical unit, which estimates do not tell, such as ``"A m"``; further attributes.

    Returns
    -------
    xr.Dataset
        Kind ``signal``, ``(time, roi)``, with ``hemisphere`` ("left", "right", "") and
        ``coverage``: the share of a region's sources, or voxels, that the estimate has.

    Raises
    ------
    FileError, ConfigError, DataError
        If something cannot be read, does not belong together, or lacks too many regions.

    Examples
    --------
    >>> import mne
    >>> side = {"type": "surf", "id": 101, "vertno": np.arange(2), "coord_frame": 5}
    >>> space = mne.SourceSpaces([side, {**side, "id": 102}])
    >>> estimate = mne.SourceEstimate(np.eye(4), [np.arange(2)] * 2, tmin=0.0, tstep=0.01)
    >>> labels = [mne.Label([0, 1], hemi="lh", name="V1-lh")]
    >>> source_signal(estimate, labels, space, mode="mean")["signal"].values[0].tolist()
    [0.5]
    """
    estimate, source_space = _as_estimate(estimate), _as_space(source_space)
    regions, values = _region_courses(estimate, labels, source_space, atlas, mode)
    missing = regions["roi"].values[regions["coverage"].values == 0].tolist()
    accept, where = Quality("raise"), "source estimate"
    require_rois(missing, len(values), where, accept, max_missing_roi=max_missing_roi)
    if missing:
        attrs["missing_rois"] = missing
    return _signal(estimate, regions, values, units=units, **attrs)


def _region_courses(
    estimate: Any, labels: Any, space: Any, atlas: str | Path | None, mode: str
) -> tuple[xr.Dataset, NDArray[Any]]:
    """Return regions with their coverage, and courses ``(roi, time)``."""
    regions, asked = _regions(estimate, labels, atlas)
    values = _extract(estimate, asked, space, mode)
    coverage = _coverage(estimate, asked, space)
    there = np.where(coverage > 0, coverage, np.nan)[:, None]
    is_partial = isinstance(labels, Mapping) and mode in ("auto", "mean")
    values = values / there if is_partial else np.where(there > 0, values, np.nan)
    return regions.assign_coords(coverage=("roi", coverage)), values


def _signal(estimate: Any, regions: xr.Dataset, values: NDArray[Any], **attrs: Any) -> xr.Dataset:
    if estimate.subject:
        attrs.setdefault("subject", str(estimate.subject))
    return recording.signal(
        values.T,
        sampling_rate=float(estimate.sfreq),
        start=float(estimate.tmin),
        channel=regions["roi"].values,
        dim="roi",
        channel_columns={str(n): c.values for n, c in regions.coords.items() if n != "roi"},
        **attrs,
    )


def _as_estimate(estimate: Any) -> Any:
    import mne

    if isinstance(estimate, str | Path):
        estimate = _read_estimate(Path(estimate))
    if not isinstance(estimate, mne.SourceEstimate | mne.VolSourceEstimate):
        raise UnsupportedFormatError(
            "no source estimate that is read here",
            found=type(estimate).__name__,
            expected="mne.SourceEstimate, mne.VolSourceEstimate or a .stc file of one",
            hint="of a vector estimate: estimate.magnitude() or estimate.project('normal', src)",
        )
    if np.iscomplexobj(estimate.data):
        raise UnsupportedFormatError(
            "source estimate is complex",
            found=estimate.data.dtype,
            expected="real numbers",
            hint="take abs() of it, or its real part",
        )
    return estimate


def _read_estimate(path: Path) -> Any:
    """Read a ``.stc`` file; other containers are not opened, they may hold anything."""
    import mne

    sides = [path]
    if path.name.endswith(("-lh.stc", "-rh.stc")):
        stem = path.name[: -len("-lh.stc")]
        sides = [path.with_name(f"{stem}-{side}.stc") for side in ("lh", "rh")]
    elif not path.name.endswith(("-vl.stc", "-vol.stc")):
        raise UnsupportedFormatError(
            "not a name of a source estimate",
            where=path,
            found=path.name,
            expected="-lh.stc and -rh.stc, or -vl.stc",
            hint="rename it, or read it by mne and pass the object",
        )
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    for side in sides:
        if not side.is_file():
            raise CorruptFileError(
                "the other hemisphere is missing",
                where=path,
                found=f"no {side.name}",
                expected="both files in the same folder",
                hint="copy both",
            )
    with quietly():
        try:
            return mne.read_source_estimate(path)
        except Exception as error:
            raise unreadable(path, error) from error


def _as_space(space: Any) -> Any:
    import mne

    if isinstance(space, str | Path):
        if not Path(space).exists():
            raise FileNotFoundError(f"no such file: {space}")
        with quietly():
            try:
                space = mne.read_source_spaces(space)
            except Exception as error:
                raise unreadable(space, error) from error
    if not isinstance(space, mne.SourceSpaces) or space.kind not in ("surface", "volume"):
        raise UnsupportedFormatError(
            "no source space that is read here",
            found=getattr(space, "kind", type(space).__name__),
            expected="mne.SourceSpaces of two surfaces, or of a volume",
            hint="of a mixed one take the estimate of its surfaces: estimate.surface()",
        )
    return space


def _regions(
    estimate: Any, labels: Sequence[Any] | Mapping[str, int], atlas: str | Path | None
) -> tuple[xr.Dataset, Any]:
    """Return the regions as coordinates, and as mne takes them."""
    import mne

    if isinstance(estimate, mne.VolSourceEstimate):
        if atlas is None or not isinstance(labels, Mapping):
            raise ConfigError(
                "a volume needs an atlas",
                expected="atlas=path of a label image, and labels={name: value}",
            )
        if not Path(atlas).exists():
            raise FileNotFoundError(f"no such file: {atlas}")
        wanted = {str(name): int(value) for name, value in labels.items()}
        sides = [hemisphere_of(name) for name in wanted]
        regions = region_table(list(wanted), list(wanted.values()), hemisphere=sides)
        return regions, (str(atlas), wanted)
    known = (mne.Label, mne.BiHemiLabel)
    if isinstance(labels, Mapping) or not all(isinstance(label, known) for label in labels):
        raise ConfigError("a surface needs labels of mne", expected="a list of mne.Label")
    names = [printable(str(label.name)) for label in labels]
    sides = [SIDES[label.hemi] for label in labels]
    return region_table(names, hemisphere=sides), list(labels)


def _extract(estimate: Any, labels: Any, space: Any, mode: str) -> NDArray[Any]:
    import mne

    with quietly():
        try:
            # regions without a source are zero here, and NaN later
            return np.asarray(
                mne.extract_label_time_course(estimate, labels, space, mode=mode, allow_empty=True)
            )
        except ImportError as error:
            raise MissingDependencyError("nibabel", "fmri") from error
        except Exception as error:
            raise DataError(
                "mne cannot average the estimate over these regions",
                found=printable(str(error)) or type(error).__name__,
                expected="estimate, source space, labels and atlas of one subject; a known mode",
                hint="take src from the inverse operator: a forward solution leaves sources out",
            ) from error


def _coverage(estimate: Any, labels: Any, space: Any) -> NDArray[np.float64]:
    """Return the share of each region, ``(roi,)``, that the estimate has."""
    import mne

    if isinstance(estimate, mne.VolSourceEstimate):
        # a mean is linear: of ones it is the weight of what is there
        ones = estimate.copy()
        ones.data = np.ones((estimate.shape[0], 1))
        share: NDArray[np.float64] = _extract(ones, labels, space, "mean")[:, 0]
        return share
    found = []
    for label in labels:
        parts = [label] if label.hemi != "both" else [label.lh, label.rh]
        sides = [0 if part.hemi == "lh" else 1 for part in parts]
        pairs = list(zip(parts, sides))
        there = [np.intersect1d(part.vertices, space[side]["vertno"]) for part, side in pairs]
        kept = sum(np.isin(v, estimate.vertices[s]).sum() for v, s in zip(there, sides))
        found.append(kept / max(1, sum(vertices.size for vertices in there)))
    return np.array(found, np.float64)
