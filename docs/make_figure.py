"""Draw ``docs/demo.png`` of a finished demo: ``python docs/make_figure.py demo docs/demo.png``."""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

import matplotlib.pyplot as plt
import xarray as xr

import neurodyn as nd

WIDTH, HEIGHT, DPI = 1200, 640, 120
N_ROWS = 3


def liveliest(truth: xr.DataArray) -> tuple[list[str], object]:
    """Return the units whose true rate varies most, and the trial in which it varies as usual."""
    variance = truth.var("time")
    order = np.argsort(-variance.mean("trial").values)[:N_ROWS]
    by_trial = variance.isel(unit=order).mean("unit")
    middle = np.argsort(by_trial.values)[by_trial.size // 2]
    return truth["unit"].values[order].tolist(), truth["trial"].values[middle]


def draw(folder: Path) -> plt.Figure:
    """Draw rates against truth for three held-out units, and latents by condition."""
    found = nd.recording.load(folder / "results.nc")
    truth = found[["true_rate"]].rename(true_rate="rate")
    units, trial = liveliest(truth["rate"].isel(unit=np.flatnonzero(found["held_out"].values)))
    figure = plt.figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    axes = left.subplots(N_ROWS, 1, sharex=True)
    for ax, unit in zip(axes, units):
        nd.plots.rates(found, truth, unit=unit, trial=trial, name="LangevinFlow", ax=ax)
        ax.set_title(f"held-out unit {unit}", loc="left")
        ax.set_ylabel("spikes/s")
        ax.get_legend().remove()
        ax.label_outer()
    axes[0].legend(loc="upper right", ncols=2, frameon=False)
    space = right.subplots(subplot_kw={"projection": "3d"})
    nd.plots.latents(found, most_lines=6, ax=space)
    if space.get_legend() is not None:
        space.get_legend().remove()
    space.set_title("latents of " + space.get_title(loc="left"), loc="left")
    return figure


def main() -> None:
    """Draw the figure of the folder that is named on the command line."""
    folder, target = map(Path, sys.argv[1:3])
    with nd.plots.theme():
        figure = draw(folder)
        figure.savefig(target, dpi=DPI, facecolor="white")


if __name__ == "__main__":
    main()
