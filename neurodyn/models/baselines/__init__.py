"""What every model has to beat: smoothing, factors, and a recurrent network without dynamics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.models.baselines.factor_glm import FactorGLM as FactorGLM
    from neurodyn.models.baselines.factor_glm import FactorGLMConfig as FactorGLMConfig
    from neurodyn.models.baselines.gru import GRUAutoencoder as GRUAutoencoder
    from neurodyn.models.baselines.gru import GRUConfig as GRUConfig
    from neurodyn.models.baselines.smoothing_glm import SmoothingGLM as SmoothingGLM
    from neurodyn.models.baselines.smoothing_glm import SmoothingGLMConfig as SmoothingGLMConfig

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "factor_glm": ["FactorGLM", "FactorGLMConfig"],
        "gru": ["GRUAutoencoder", "GRUConfig"],
        "smoothing_glm": ["SmoothingGLM", "SmoothingGLMConfig"],
    },
)
