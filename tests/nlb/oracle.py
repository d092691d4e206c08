"""nlb_tools 0.0.4 with the two patches that let it run on a present pandas."""

from __future__ import annotations

import contextlib
import logging
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd


class _Patched(SimpleNamespace):
    """A module with some functions replaced."""

    def __init__(self, module, **replaced):
        super().__init__(module=module, **replaced)

    def __getattr__(self, name):
        return getattr(self.module, name)


def _sorted_concat(*args, **kwargs):
    result = pd.concat(*args, **kwargs)
    index = result.index
    scrambled = isinstance(index, pd.TimedeltaIndex) and not index.is_monotonic_increasing
    return result.sort_index() if kwargs.get("axis") == 1 and scrambled else result


def _copied(array, copy=True, **kwargs):
    return np.nan_to_num(array, copy=True, **kwargs)


@contextlib.contextmanager
def nlb_tools():
    """Give nlb_tools.make_tensors and NWBDataset, patched and quiet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nlb_tools import make_tensors, nwb_interface

        before = nwb_interface.pd, nwb_interface.np, nwb_interface._poolmap
        nwb_interface.pd = _Patched(pd, concat=_sorted_concat)
        nwb_interface.np = _Patched(np, nan_to_num=_copied)
        nwb_interface._poolmap = lambda function, items: [function(item) for item in items]
        logging.disable(logging.WARNING)
        try:
            yield make_tensors, nwb_interface.NWBDataset
        finally:
            logging.disable(logging.NOTSET)
            nwb_interface.pd, nwb_interface.np, nwb_interface._poolmap = before
