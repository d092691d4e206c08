"""NWB files: read lazily through h5py, written by pynwb."""

from neurodyn.io.nwb.reader import load_nwb, open_nwb

__all__ = ["load_nwb", "open_nwb"]
