"""Recording to recording, one verb per file; nothing here knows files or torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.transforms.alignment import align as align
    from neurodyn.transforms.averaging import psth as psth
    from neurodyn.transforms.binning import bin_spikes as bin_spikes
    from neurodyn.transforms.intervals import difference as difference
    from neurodyn.transforms.intervals import intersection as intersection
    from neurodyn.transforms.intervals import union as union
    from neurodyn.transforms.restriction import restrict as restrict

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "alignment": ["align"],
        "averaging": ["psth"],
        "binning": ["bin_spikes"],
        "intervals": ["difference", "intersection", "union"],
        "restriction": ["restrict"],
    },
)
