"""One readable training loop; checkpoints that survive any crash, resumed bit for bit.

The names below are loaded on first use, so that configurations never import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.training.config import TrainingConfig as TrainingConfig
    from neurodyn.training.history import read_history as read_history
    from neurodyn.training.loop import TrainingResult as TrainingResult
    from neurodyn.training.loop import train as train
    from neurodyn.training.protocols import Batch as Batch
    from neurodyn.training.protocols import Objective as Objective
    from neurodyn.training.protocols import Progress as Progress
    from neurodyn.training.protocols import Source as Source
    from neurodyn.training.signals import TrainingInterrupted as TrainingInterrupted

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["TrainingConfig"],
        "history": ["read_history"],
        "loop": ["TrainingResult", "train"],
        "protocols": ["Batch", "Objective", "Progress", "Source"],
        "signals": ["TrainingInterrupted"],
    },
)
