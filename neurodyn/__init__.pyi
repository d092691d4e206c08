from . import (
    datasets as datasets,
    io as io,
    metrics as metrics,
    models as models,
    nlb as nlb,
    plots as plots,
    recording as recording,
    training as training,
    transforms as transforms,
    windows as windows,
)
from ._version import __version__ as __version__
from .io import (
    load as load,
    open as open,
)
from .recording import (
    describe as describe,
    masked_counts as masked_counts,
    physical as physical,
    pick as pick,
    save as save,
)

__all__ = [
    "__version__",
    "datasets",
    "describe",
    "io",
    "load",
    "masked_counts",
    "metrics",
    "models",
    "nlb",
    "open",
    "physical",
    "pick",
    "plots",
    "recording",
    "save",
    "training",
    "transforms",
    "windows",
]
