"""The tasks of the Neural Latents Benchmark: seven recordings at bins of 5 and 20 ms.

Facts are those of NLB'21 (Pei et al. 2021, arXiv:2109.04463) and of the files on DANDI as they
are now: dmfc_rsg has 54 units and 283 test trials, not the 60 and 252 of the first release.
Scores at 5 and at 20 ms are not comparable; groups of files at 20 ms have the suffix ``_20``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from neurodyn.errors import ConfigError, suggest

__all__ = ["BIN_SIZES", "DATASETS", "SCALING", "TASKS", "Task", "milliseconds", "task"]

BIN_SIZES = (0.005, 0.02)
SCALING = MappingProxyType(
    {"mc_maze_large": "[500]", "mc_maze_medium": "[250]", "mc_maze_small": "[100]"}
)
"""Prefix of each set's scores in the merged group ``mc_maze_scaling``."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One recording at one bin size, and how it is cut and scored. Times are in seconds.

    Attributes
    ----------
    dataset, bin_size
        Name of the recording; width of the bins [s].
    align, window
        Column of the trial table, and the window around it that models see.
    window_overlap, target_overlap
        Whether windows of neighbouring trials may overlap in inputs and in targets.
    target_start
        Column: targets cover only the time from it to ``align``, right-aligned in the window.
    forward
        Length of the window after ``window`` that is predicted and never seen.
    jitter
        Longest delay added to ``align`` per trial, seeded, such that the interval ``tp`` before
        it still fits the window; 0 for none.
    behavior, lag
        Series that is decoded, and how much later than the spikes it is taken.
    behavior_columns
        Trial columns that stand for behavior where there is no series.
    outlier_column
        Trial column: where true, behavior is NaN and the trial is not in a PSTH.
    decode_column
        Trial column of zeros and ones: one decoder for each.
    condition_columns, psth_sd
        Columns that name the condition; width of the PSTH's Gaussian kernel. Empty: no PSTH.
    n_held_in, n_held_out
        Units.
    n_train, n_validation, n_test
        Trials of each split; ``None`` where it is not published for the present files.
    dandiset, version, n_bytes, file_prefix
        Where the two NWB files are: DANDI id, version and total size (``None``: not verified),
        and what their names have after ``sub-<subject>``.
    """

    dataset: str
    bin_size: float
    align: str
    window: tuple[float, float]
    window_overlap: bool = False
    target_overlap: bool = False
    target_start: str | None = None
    forward: float = 0.2
    jitter: float = 0.0
    behavior: str | None = None
    lag: float = 0.0
    behavior_columns: tuple[str, ...] = ()
    outlier_column: str | None = None
    decode_column: str | None = None
    condition_columns: tuple[str, ...] = ()
    psth_sd: float = 0.0
    n_held_in: int
    n_held_out: int
    n_train: int | None
    n_validation: int | None
    n_test: int
    dandiset: str
    version: str | None = None
    n_bytes: int | None = None
    file_prefix: str = ""

    @property
    def name(self) -> str:
        """Name of the task and of its group in files, such as ``mc_maze_20``."""
        suffix = "" if milliseconds(self.bin_size) == 5 else f"_{milliseconds(self.bin_size)}"
        return self.dataset + suffix

    @property
    def n_time(self) -> int:
        """Bins of the window."""
        start, stop = map(milliseconds, self.window)
        return (stop - start) // milliseconds(self.bin_size)

    @property
    def n_forward(self) -> int:
        """Bins of the forward window."""
        return milliseconds(self.forward) // milliseconds(self.bin_size)

    @property
    def n_units(self) -> int:
        """Held-in and held-out units together."""
        return self.n_held_in + self.n_held_out


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds.

    Examples
    --------
    >>> milliseconds(-0.25)
    -250
    """
    return round(seconds * 1000)


def task(name: str, bin_size: float | None = None) -> Task:
    """Return a declared task.

    Parameters
    ----------
    name
        ``"mc_maze_20"``, or a dataset together with ``bin_size``.
    bin_size
        0.005 or 0.02 [s].

    Raises
    ------
    ConfigError
        If there is no such task; lists the known ones.

    Examples
    --------
    >>> task("mc_maze_small", 0.02).n_time, task("mc_maze_small").n_time
    (35, 140)
    """
    key = name
    if bin_size is not None and name in DATASETS and milliseconds(bin_size) != 5:
        key = f"{name}_{milliseconds(bin_size)}"
    found = TASKS.get(key)
    if found is None or (bin_size is not None and found.bin_size != bin_size):
        raise ConfigError(
            "there is no such NLB task", found=f"{name}, {bin_size}", hint=suggest(key, TASKS)
        )
    return found


_MAZE = Task(
    dataset="mc_maze",
    bin_size=0.005,
    align="move_onset_time",
    window=(-0.25, 0.45),
    behavior="hand_vel",
    lag=0.1,
    condition_columns=("trial_type", "trial_version"),
    psth_sd=0.07,
    n_held_in=137,
    n_held_out=45,
    n_train=1721,
    n_validation=574,
    n_test=574,
    dandiset="000128",
    version="0.220113.0400",
    n_bytes=694_004_935,
    file_prefix="_ses-full",
)
_SCALED = replace(_MAZE, lag=0.12, psth_sd=0.05, n_test=100, version=None, n_bytes=None)

_DECLARED = (
    _MAZE,
    Task(
        dataset="mc_rtt",
        bin_size=0.005,
        align="start_time",
        window=(0.0, 0.6),
        window_overlap=True,
        target_overlap=True,
        behavior="finger_vel",
        lag=0.14,
        n_held_in=98,
        n_held_out=32,
        n_train=810,
        n_validation=270,
        n_test=272,
        dandiset="000129",
        n_bytes=50_965_512,
    ),
    Task(
        dataset="area2_bump",
        bin_size=0.005,
        align="move_onset_time",
        window=(-0.1, 0.5),
        target_overlap=True,
        behavior="hand_vel",
        lag=-0.02,
        decode_column="ctr_hold_bump",
        condition_columns=("cond_dir", "ctr_hold_bump"),
        psth_sd=0.04,
        n_held_in=49,
        n_held_out=16,
        n_train=272,
        n_validation=92,
        n_test=98,
        dandiset="000127",
        version="0.220113.0359",
        n_bytes=1_823_368_810,
    ),
    Task(
        dataset="dmfc_rsg",
        bin_size=0.005,
        align="go_time",
        window=(-1.5, 0.0),
        window_overlap=True,
        target_start="set_time",
        jitter=0.3,
        behavior_columns=("is_eye", "theta", "is_short", "ts", "tp"),
        outlier_column="is_outlier",
        condition_columns=("is_eye", "theta", "is_short", "ts"),
        psth_sd=0.07,
        n_held_in=40,
        n_held_out=14,
        n_train=None,
        n_validation=None,
        n_test=283,
        dandiset="000130",
        version="0.220113.0407",
        n_bytes=15_673_496,
    ),
    replace(
        _SCALED,
        dataset="mc_maze_large",
        n_held_in=122,
        n_held_out=40,
        n_train=375,
        n_validation=125,
        dandiset="000138",
        file_prefix="_ses-large",
    ),
    replace(
        _SCALED,
        dataset="mc_maze_medium",
        n_held_in=114,
        n_held_out=38,
        n_train=188,
        n_validation=62,
        dandiset="000139",
        file_prefix="_ses-medium",
    ),
    replace(
        _SCALED,
        dataset="mc_maze_small",
        n_held_in=107,
        n_held_out=35,
        n_train=75,
        n_validation=25,
        dandiset="000140",
        version="0.220113.0408",
        n_bytes=29_896_840,
        file_prefix="_ses-small",
    ),
)

DATASETS: tuple[str, ...] = tuple(declared.dataset for declared in _DECLARED)
"""The seven recordings, in the order in which the benchmark reports them."""

_ALL = [replace(declared, bin_size=size) for declared in _DECLARED for size in BIN_SIZES]
TASKS: Mapping[str, Task] = MappingProxyType({declared.name: declared for declared in _ALL})
"""All fourteen tasks by name."""
