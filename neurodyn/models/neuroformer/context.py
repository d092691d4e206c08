"""What a fitted Neuroformer knows of its data, and whether two recordings are apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn.config import from_dict, to_dict
from neurodyn.errors import DataError, EmptySelectionError
from neurodyn.models.neuroformer.config import (
    BehaviorTarget,
    NeuroformerConfig,
    NeuroformerSizes,
)
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
from neurodyn.recording import pick, pick_behavior
from neurodyn.transforms.intervals import Intervals, intersection, union

__all__ = ["NeuroformerContext", "has_behavior", "refuse_leak", "spikes_digest"]

SESSION = ("subject", "session_start", "source", "digest", "config_uid")


@dataclass(frozen=True, kw_only=True)
class NeuroformerContext:
    """Vocabulary, sizes and the Poisson null of the training windows.

    Parameters
    ----------
    tokenizer
        Units and bins.
    sizes
        Sizes of the network that the data decide.
    expected_counts
        Mean count of each unit in a bin of the training windows.
    most_spikes
        Most spikes of a training window, at least 1.
    features
        Labels of the features of each behavior that is read or decoded.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.recordings import token_windows
    >>> spikes = spikes_from_units({"a": [0.05, 0.121]}, observed=[[0.0, 0.3]])
    >>> config = NeuroformerConfig(bin_size=0.01, window=0.05, past=0.1)
    >>> NeuroformerContext.of(spikes, token_windows(spikes, config), config).most_spikes
    1
    """

    tokenizer: SpikeTokenizer
    sizes: NeuroformerSizes
    expected_counts: tuple[float, ...]
    most_spikes: int = 1
    features: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        recording: xr.DataTree | xr.Dataset,
        windows: TokenWindows,
        config: NeuroformerConfig,
    ) -> NeuroformerContext:
        """Return the context of the training windows of a recording.

        Raises
        ------
        DataError
            If a behavior that is classified has other values than its classes.
        """
        for target in config.targets:
            if target.kind == "classification":
                _require_classes(target, windows.targets[target.name].values)
        expected = windows.store.expected_counts(windows.starts, windows.length)
        read, decoded = ([one.name for one in part] for part in (config.behavior, config.targets))
        return cls(
            tokenizer=windows.store.tokenizer,
            sizes=windows.sizes(),
            expected_counts=tuple(expected.tolist()),
            most_spikes=max(1, int(windows.n_spikes.max())),
            features={name: _features(recording, name) for name in read + decoded},
        )

    def check(self, recording: xr.DataTree | xr.Dataset, windows: TokenWindows) -> TokenWindows:
        """Return the windows of a recording if a network of this context can read them.

        Raises
        ------
        DataError
            If the stimulus has another size, or a behavior other features or another order.
        """
        found = windows.sizes()
        if found.stimulus != self.sizes.stimulus:
            raise DataError(
                "the stimulus has another size than in training",
                found=found.stimulus,
                expected=self.sizes.stimulus,
            )
        for name in found.behavior:
            features = _features(recording, name)
            if features != self.features[name]:
                raise DataError(
                    f"the behavior {name} has other features than in training",
                    found=", ".join(features),
                    expected=", ".join(self.features[name]),
                )
        return windows

    def to_json(self) -> str:
        """Return the context as JSON text."""
        return json.dumps(to_dict(self))

    @classmethod
    def from_json(cls, text: str) -> NeuroformerContext:
        """Return what :meth:`to_json` wrote."""
        return from_dict(cls, json.loads(text))


def refuse_leak(
    training: tuple[xr.DataTree | xr.Dataset, TokenWindows],
    validation: tuple[xr.DataTree | xr.Dataset, TokenWindows],
) -> None:
    """Raise if windows of one part read what windows of the other predict.

    Two recordings are compared in time if they are of one session: subject, start, source, digest
    and the settings of a simulation are the same, as in two parts of a recording.

    Parameters
    ----------
    training, validation
        Recording and windows of each part.

    Raises
    ------
    DataError
        Naming the time.
    """
    parts = (training, validation)
    session, other = ([data.attrs.get(name) for name in SESSION] for data, _ in parts)
    if session != other:
        return
    read, predicted = zip(*(_spans(windows) for _, windows in parts))
    for reader, target in ((0, 1), (1, 0)):
        shared = intersection(read[reader], predicted[target])
        # times that touch differ by rounding
        shared = shared[np.diff(shared)[:, 0] > 1e-6]
        if len(shared):
            names = ("training", "validation")
            raise DataError(
                f"{names[reader]} windows read what {names[target]} windows predict",
                found=f"{len(shared)} shared stretches, the first {shared[0].tolist()} s",
                expected="parts that are apart by what a window reads of the past",
                hint="blocked_holdout(recording, gap=...) or blocked_folds make such parts; other"
                f" sessions differ in one of {', '.join(SESSION)}",
            )


def has_behavior(recording: xr.DataTree | xr.Dataset, name: str) -> bool:
    """Tell whether a recording has a behavior or feature of this name.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> has_behavior(spikes_from_units({"a": [0.5]}), "speed")
    False
    """
    try:
        pick_behavior(recording, name)
    except EmptySelectionError:
        return False
    return True


def spikes_digest(recording: xr.DataTree | xr.Dataset) -> str:
    """Return the SHA-256 over units and spike times.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> spikes_digest(spikes_from_units({"a": [0.5]}))[:7]
    'sha256:'
    """
    spikes = pick(recording, "spikes")
    digest = hashlib.sha256(repr(spikes["unit"].values.tolist()).encode())
    for name in ("row_size", "spike_time"):
        digest.update(np.ascontiguousarray(spikes[name].values).tobytes())
    return f"sha256:{digest.hexdigest()}"


def _features(recording: xr.DataTree | xr.Dataset, name: str) -> tuple[str, ...]:
    return tuple(map(str, pick_behavior(recording, name)["feature"].values))


def _require_classes(target: BehaviorTarget, values: NDArray[Any]) -> None:
    if values.shape[1] != 1:
        raise DataError(
            f"the behavior {target.name} has several features, of which one can be classified",
            found=f"{values.shape[1]} features",
            hint="name a feature instead of the whole behavior",
        )
    known = values[np.isfinite(values)]
    bad = known[(known != np.floor(known)) | (known < 0) | (known >= target.n_classes)]
    if bad.size:
        raise DataError(
            f"the behavior {target.name} has values that are no classes",
            found=f"{bad.size} of {known.size}, the first {bad[0]:g}",
            expected=f"whole numbers from 0 to {target.n_classes - 1}, NaN where unknown",
        )


def _spans(windows: TokenWindows) -> tuple[Intervals, Intervals]:
    """Return the time that windows read and that they predict [s]."""
    begin, bin_size = windows.time(), windows.store.tokenizer.bin_size
    stop = begin + windows.length * bin_size
    return (
        union(np.column_stack([begin - windows.reach * bin_size, stop])),
        union(np.column_stack([begin, stop])),
    )
