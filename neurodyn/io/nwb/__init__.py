"""NWB files: read lazily through h5py; pynwb writes them and reads what is unusual."""

from neurodyn.io.nwb.objects import container
from neurodyn.io.nwb.reader import load_nwb, open_nwb

__all__ = ["container", "load_nwb", "open_nwb"]
