"""Splits of token windows that leak nothing, and the check that says so."""

from __future__ import annotations

import numpy as np

from neurodyn.errors import DataError
from neurodyn.models.neuroformer.token_windows import TokenWindows
from neurodyn.windows import splits
from neurodyn.windows.splits import Split

__all__ = ["blocked_split", "check_leak", "trial_split"]


def blocked_split(
    windows: TokenWindows,
    *,
    validation: float = 0.2,
    test: float = 0.0,
    gap: float | None = None,
    n_blocks: int = 5,
) -> Split:
    """Split windows into blocks of time whose distance is at least what a window reads.

    Parameters
    ----------
    windows
        Windows of a recording.
    validation, test, n_blocks
        As of :func:`neurodyn.windows.splits.blocked_split`.
    gap
        Least distance of windows of different parts [s]; by default, and at least, the past
        window or the longest input.

    Raises
    ------
    DataError
        If ``gap`` is shorter than what windows read.
    ConfigError, EmptySelectionError
        As of :func:`neurodyn.windows.splits.blocked_split`.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig
    >>> from neurodyn.models.neuroformer.token_store import TokenStore
    >>> from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
    >>> config = NeuroformerConfig(bin_size=0.01, window=0.05, past=0.1)
    >>> tokenizer = SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=5)
    >>> store = TokenStore(spikes_from_units({"a": [0.5]}), tokenizer, [[0.0, 10.0]])
    >>> windows = TokenWindows(store, config)
    >>> split = blocked_split(windows, n_blocks=1)
    >>> round(float(windows.time()[split.validation[0]] - windows.time()[split.train[-1]]), 2)
    0.2
    """
    bin_size = windows.store.tokenizer.bin_size
    bins = windows.reach if gap is None else int(np.ceil(round(gap / bin_size, 6)))
    if bins < windows.reach:
        raise DataError(
            "the gap is shorter than what windows read",
            found=f"gap={gap} s",
            expected=f"at least {windows.reach * bin_size:g} s",
            hint="leave gap out",
        )
    return splits.blocked_split(
        windows.spans(), validation=validation, test=test, gap=bins, n_blocks=n_blocks
    )


def trial_split(windows: TokenWindows, trials: Split) -> Split:
    """Split windows as their stretches, trials for example, are split.

    Parameters
    ----------
    windows
        Windows of a recording.
    trials
        Positions of stretches, as :func:`neurodyn.windows.splits.trial_split` gives them.

    Raises
    ------
    DataError
        If windows of different parts read the same spikes, or a stretch does not exist.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig
    >>> from neurodyn.models.neuroformer.token_store import TokenStore
    >>> from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
    >>> config = NeuroformerConfig(bin_size=0.01, window=0.05, past=0.1)
    >>> tokenizer = SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=5)
    >>> spikes = spikes_from_units({"a": [0.5]})
    >>> windows = TokenWindows(TokenStore(spikes, tokenizer, [[0, 0.2], [0.2, 0.4]]), config)
    >>> trial_split(windows, Split(np.array([1]), test=np.array([0]))).test.tolist()
    [0, 1]
    """
    n_stretches = windows.store.first.size - 1
    for name, part in trials.parts():
        if part.size and not (part.min() >= 0 and part.max() < n_stretches):
            raise DataError(
                f"the {name} part names a stretch that does not exist",
                found=f"{part.min()} to {part.max()}",
                expected=f"0 to {n_stretches - 1}",
            )
    of_window = windows.stretch()
    parts = [np.flatnonzero(np.isin(of_window, part)) for _, part in trials.parts()]
    split = Split(*parts)
    check_leak(windows, split)
    return split


def check_leak(windows: TokenWindows, split: Split) -> None:
    """Raise if a window of one part reads what a window of another part predicts.

    Windows of different parts have to be as far from each other as they read back: their past,
    or the longest window of a stimulus or behavior. Windows of different stretches never read
    each other.

    Raises
    ------
    DataError
        Naming the two parts and windows.

    Examples
    --------
    >>> from neurodyn.recording import spikes_from_units
    >>> from neurodyn.models.neuroformer.config import NeuroformerConfig
    >>> from neurodyn.models.neuroformer.token_store import TokenStore
    >>> from neurodyn.models.neuroformer.tokenizer import SpikeTokenizer
    >>> config = NeuroformerConfig(bin_size=0.01, window=0.05, past=0.1)
    >>> tokenizer = SpikeTokenizer(units=("a",), bin_size=0.01, n_bins=5)
    >>> store = TokenStore(spikes_from_units({"a": [0.5]}), tokenizer, [[0.0, 1.0]])
    >>> check_leak(TokenWindows(store, config), Split(np.array([0, 1]), test=np.array([4, 5])))
    """
    splits.check_leakage(split, windows.spans(), gap=windows.reach)
