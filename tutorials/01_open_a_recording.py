"""
Open a recording
================

A grasshopper's auditory receptor heard two modulated sounds. Its spikes lie in an NWB file that
comes with neurodyn. We open the file, look at what is in it, bin the spikes, cut them into trials
and look at how this cell fires. Nothing is written.
"""

# %%
# Opening reads nothing but names and sizes; ``describe`` says what there is.

import matplotlib.pyplot as plt
import numpy as np

import neurodyn as nd

path = nd.datasets.path("grasshopper")
recording = nd.open(path)
print(nd.describe(recording))

# %%
# Every child is a plain :class:`xarray.Dataset`. Spikes of all units lie one after another,
# ``row_size`` says how many belong to each.

spikes = nd.pick(recording, "spikes")
print(spikes)
spike_times = nd.recording.unit_spike_times(spikes, spikes["unit"].values[0])
intervals = np.diff(spike_times)
print(f"{spike_times.size} spikes, median interval {1000 * np.median(intervals):.1f} ms")

# %%
# Binning works on the clock ticks of the recording, so no spike falls into a neighbour's bin.
# Where nothing was recorded the counts are missing, which is not the same as zero.

counts = nd.transforms.bin_spikes(recording, bin_size=0.02)
observed = nd.masked_counts(counts)
print(f"{int(observed.sum())} spikes in {int(observed.notnull().sum())} observed bins")

# %%
# Trials are rows of a table; ``align`` cuts the spikes around their starts.

trials = nd.pick(recording, "trials")
length = float((trials["stop"] - trials["start"]).min())
aligned = nd.transforms.align(recording, window=(0.0, length), bin_size=0.02)
rate = nd.masked_counts(aligned).mean("time") / 0.02
print(rate.to_pandas())

figure, axes = plt.subplots(2, 1, figsize=(7, 4), layout="constrained")
nd.plots.raster(recording, start=0.0, stop=1.0, ax=axes[0])
axes[1].hist(1000 * intervals[intervals < 0.05], bins=50)
axes[1].set(xlabel="interval between spikes [ms]", ylabel="spikes")

# %%
# What we know about this cell: it fires at about 90 spikes/s and is refractory for some
# milliseconds, so hardly any interval is shorter than one.

assert 80 < float(rate.mean()) < 100
assert (intervals < 0.001).mean() < 0.01
assert int(observed.sum()) == spike_times.size
