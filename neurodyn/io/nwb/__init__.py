"""NWB files: read lazily through h5py; pynwb writes them and reads what is unusual.

What becomes what:

- ``Units``: ``spikes``. Every column is a coordinate of ``unit``; ``heldout`` becomes
  ``held_out``, electrodes become ``area`` and mean position, ``resolution`` becomes ``tick_hz``.
- ``TimeIntervals``: ``trials``, with ``start`` and ``stop`` for ``start_time`` and ``stop_time``.
- ``EventsTable``, ``AnnotationSeries``, ``BehavioralEvents``, ``IntervalSeries``: ``trials`` too;
  an event without duration stops as it starts.
- Series of ``processing/behavior`` and every ``SpatialSeries``: ``behavior`` in its unit.
- Any other series of one or two axes: ``signal``, raw, with scale, offset and
  ``channel_conversion``.
- All else (images, waveforms): named in the root's ``attrs["unread"]`` or in a table's
  ``attrs["unread_columns"]``; :func:`container` reads it through pynwb.

A ragged column ``c`` becomes a padded variable with a further dim ``c_item``, and ``c_size``
says how many items of a row are real. A reference becomes the name of what it refers to. Names
are made of letters, digits and underscores; ``attrs`` keep the original ones and the path.
"""

from neurodyn.io.nwb.objects import container
from neurodyn.io.nwb.reader import load_nwb, open_nwb

__all__ = ["container", "load_nwb", "open_nwb"]
