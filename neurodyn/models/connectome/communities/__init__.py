"""Communities of a weighted graph: a block model that counts them itself, and its rivals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.models.connectome.communities.block_model import (
        find_communities as find_communities,
    )
    from neurodyn.models.connectome.communities.config import BlockModelConfig as BlockModelConfig
    from neurodyn.models.connectome.communities.graph_tool import (
        graph_tool_communities as graph_tool_communities,
    )
    from neurodyn.models.connectome.communities.louvain import (
        louvain_communities as louvain_communities,
    )
    from neurodyn.models.connectome.communities.posterior import (
        sample_communities as sample_communities,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "block_model": ["find_communities"],
        "config": ["BlockModelConfig"],
        "graph_tool": ["graph_tool_communities"],
        "louvain": ["louvain_communities"],
        "posterior": ["sample_communities"],
    },
)
