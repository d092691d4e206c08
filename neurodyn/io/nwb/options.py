"""How an NWB file is to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurodyn.errors import ConfigError, one_of

__all__ = ["Options"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an NWB file is to be read.

    Parameters
    ----------
    spike_time_unit
        ``"s"``, ``"ms"`` or ``"samples"`` of spike times; None: seconds, and times that look
        like something else are refused.
    sampling_rate
        Samples per second [Hz] of spike times in samples; default from the file's resolution.
    duplicates
        ``"keep"`` or ``"drop"`` spikes of one unit at exactly the same time.
    max_gap
        Longest step [s] between timestamps that is no gap; default 1.5 median steps.

    Raises
    ------
    ConfigError
        For a value that is not allowed.
    """

    spike_time_unit: Literal["s", "ms", "samples"] | None = None
    sampling_rate: float | None = None
    duplicates: Literal["keep", "drop"] = "keep"
    max_gap: float | None = None

    def __post_init__(self) -> None:
        one_of("spike_time_unit", self.spike_time_unit, (None, "s", "ms", "samples"))
        one_of("duplicates", self.duplicates, ("keep", "drop"))
        for name in ("sampling_rate", "max_gap"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be positive", found=value, expected="above 0")
