from . import (
    datasets as datasets,
    io as io,
    metrics as metrics,
    models as models,
    nlb as nlb,
    plots as plots,
    recording as recording,
    report as report,
    training as training,
    transforms as transforms,
    windows as windows,
    workflow as workflow,
)
from ._version import __version__ as __version__
from .io import (
    load as load,
    open as open,
)
from .io.convert import convert as convert
from .io.doctor import check as check
from .io.interop import (
    from_pynapple as from_pynapple,
    from_spikeinterface as from_spikeinterface,
    to_pynapple as to_pynapple,
)
from .io.limits import set_limits as set_limits
from .io.nwb.write import write_nwb as write_nwb
from .recording import (
    describe as describe,
    masked_counts as masked_counts,
    physical as physical,
    pick as pick,
    save as save,
)

__all__ = [
    "__version__",
    "check",
    "convert",
    "datasets",
    "describe",
    "from_pynapple",
    "from_spikeinterface",
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
    "report",
    "save",
    "set_limits",
    "to_pynapple",
    "training",
    "transforms",
    "windows",
    "workflow",
    "write_nwb",
]
