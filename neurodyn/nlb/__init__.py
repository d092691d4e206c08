"""The Neural Latents Benchmark: tasks, tensors, files and exact scores.

The way through: recordings → :func:`prepare` → :func:`counts_for_fit` → a model →
:func:`submission_from` → :func:`write_submission` and :func:`evaluate`.
"""

from neurodyn.nlb.arrays import Tensors
from neurodyn.nlb.clock import make_clock
from neurodyn.nlb.convert import counts_for_fit, expected_count, submission_from, to_counts
from neurodyn.nlb.evaluate import evaluate
from neurodyn.nlb.files import read_groups, read_tensors, write_groups, write_tensors
from neurodyn.nlb.guard import LeakageError, refuse_evaluation, refuse_overlap
from neurodyn.nlb.scores import psth_r2, speed_correlation, velocity_r2
from neurodyn.nlb.session import Session, from_recording
from neurodyn.nlb.submit import check_submission, write_submission
from neurodyn.nlb.tasks import DATASETS, TASKS, Task, task
from neurodyn.nlb.tensors import (
    Prepared,
    evaluation_tensors,
    prepare,
    target_tensors,
    training_tensors,
)

__all__ = [
    "DATASETS",
    "TASKS",
    "LeakageError",
    "Prepared",
    "Session",
    "Task",
    "Tensors",
    "check_submission",
    "counts_for_fit",
    "evaluate",
    "evaluation_tensors",
    "expected_count",
    "from_recording",
    "make_clock",
    "prepare",
    "psth_r2",
    "read_groups",
    "read_tensors",
    "refuse_evaluation",
    "refuse_overlap",
    "speed_correlation",
    "submission_from",
    "target_tensors",
    "task",
    "to_counts",
    "training_tensors",
    "velocity_r2",
    "write_groups",
    "write_submission",
    "write_tensors",
]
