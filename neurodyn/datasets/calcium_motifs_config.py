"""Settings of the simulator of motifs in calcium imaging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from neurodyn.datasets.calcium import cell_names
from neurodyn.errors import ConfigError, one_of

__all__ = ["SPONTANEOUS", "CalciumMotifsConfig"]

SPONTANEOUS = "spontaneous"
"""Name of the motif that no stimulus drives."""
POSITIVE = (
    "n_animals",
    "sampling_rate",
    "cells_per_stimulus",
    "private_event_duration",
    "rise_time",
    "decay_time",
)
NOT_NEGATIVE = (
    "n_shared_cells",
    "n_spontaneous_cells",
    "n_spontaneous_events",
    "n_silent_cells",
    "private_rate",
    "noise",
    "seed",
)


@dataclass(frozen=True, kw_only=True)
class CalciumMotifsConfig:
    """Settings of :func:`neurodyn.datasets.simulate_calcium_motifs`.

    Parameters
    ----------
    n_animals, n_cells
        Sizes; the cells have names of cells in the head of C. elegans.
    sampling_rate
        Frames per second [Hz].
    stimuli
        Names, one motif each.
    onset, interval
        Time of the first stimulus and from each to the next, or to the end [s].
    stimulus_duration
        Of each [s].
    same_order
        Give all animals the stimuli in the order of ``stimuli``; else each has its own.
    cells_per_stimulus
        Driven by each stimulus.
    n_shared_cells
        Of them, how many the next stimulus drives too.
    n_spontaneous_cells
        Of the motif that no stimulus drives, disjoint from the others; without any there is none.
    n_spontaneous_events, spontaneous_duration
        Events of that motif in each animal, and the length of each [s].
    spontaneous_times
        ``"per_animal"``: at times of its own in each animal, so that no time course holds for
        all of them; ``"shared"``: at the same times after the same stimulus.
    n_silent_cells
        Cells of no motif whose trace is 0 throughout.
    gain
        Range of a cell's gain in its motif, uniform.
    strength
        Range of an animal's response in a motif, uniform.
    private_rate, private_event_duration
        Events that a cell shares with no other: per second, and the length of each [s].
    private_gain
        Range of a cell's gain for them in an animal, uniform.
    rise_time, decay_time
        Of the indicator [s]; the default is a slow one in the nucleus.
    noise
        Standard deviation of the white noise of each frame [dF/F0].
    missing_fraction
        Of the cells, not seen in an animal, drawn anew for each.
    seed
        Of everything random; the missing cells do not change the other traces.

    Raises
    ------
    ConfigError
        For a setting out of range, or more cells in motifs than there are.
    """

    n_animals: int = 21
    n_cells: int = 60
    sampling_rate: float = 4.0
    stimuli: tuple[str, ...] = ("butanone", "pentanedione", "NaCl")
    onset: float = 60.0
    interval: float = 60.0
    stimulus_duration: float = 10.0
    same_order: bool = False
    cells_per_stimulus: int = 15
    n_shared_cells: int = 2
    n_spontaneous_cells: int = 12
    n_spontaneous_events: int = 14
    spontaneous_duration: float = 4.0
    spontaneous_times: Literal["per_animal", "shared"] = "per_animal"
    n_silent_cells: int = 0
    gain: tuple[float, float] = (0.3, 0.8)
    strength: tuple[float, float] = (0.2, 1.0)
    private_rate: float = 1.0 / 30.0
    private_event_duration: float = 2.0
    private_gain: tuple[float, float] = (0.5, 1.5)
    rise_time: float = 2.0
    decay_time: float = 4.0
    noise: float = 0.15
    missing_fraction: float = 0.0
    seed: int = 1

    @property
    def motifs(self) -> list[str]:
        """Names of the motifs: the stimuli, and the one that none of them drives."""
        return [*self.stimuli, *([SPONTANEOUS] if self.n_spontaneous_cells else [])]

    def __post_init__(self) -> None:
        one_of("spontaneous_times", self.spontaneous_times, ("per_animal", "shared"))
        for name in POSITIVE:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} must be above 0", found=getattr(self, name))
        for name in NOT_NEGATIVE:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"{name} must not be negative", found=getattr(self, name))
        for name in ("gain", "strength", "private_gain"):
            low, high = getattr(self, name)
            if not 0 < low <= high < np.inf:
                raise ConfigError(
                    f"{name} is no range", found=(low, high), expected="0 < low <= high"
                )
        if not 0.0 <= self.missing_fraction < 1.0:
            raise ConfigError(
                "missing_fraction is out of range",
                found=self.missing_fraction,
                expected="0 <= missing_fraction < 1",
            )
        self._check_stimuli()
        self._check_cells()

    def _check_stimuli(self) -> None:
        if not self.stimuli or len({*self.stimuli, SPONTANEOUS}) <= len(self.stimuli):
            raise ConfigError(
                "stimuli must have names of their own",
                found=self.stimuli,
                expected=f"one or more, none of them {SPONTANEOUS!r}",
            )
        if not 0 < self.stimulus_duration <= self.interval:
            raise ConfigError(
                "a stimulus lasts longer than its interval",
                found=f"stimulus_duration={self.stimulus_duration}, interval={self.interval} s",
                expected="0 < stimulus_duration <= interval",
            )

    def _check_cells(self) -> None:
        n_named = len(cell_names(self.n_cells))
        n_links = len(self.stimuli) - 1
        if 2 * self.n_shared_cells > self.cells_per_stimulus:
            raise ConfigError(
                "more than half of the cells of a stimulus are shared",
                found=f"n_shared_cells={self.n_shared_cells}",
                expected=f"at most {self.cells_per_stimulus // 2}: a cell has two stimuli at most",
            )
        n_needed = (
            len(self.stimuli) * self.cells_per_stimulus
            - n_links * self.n_shared_cells
            + self.n_spontaneous_cells
            + self.n_silent_cells
        )
        if n_needed > n_named:
            raise ConfigError(
                "there are more cells in motifs than cells",
                found=f"{n_needed} of n_cells={self.n_cells}",
                hint=f"n_cells={n_needed}, or fewer cells_per_stimulus or n_spontaneous_cells",
            )
