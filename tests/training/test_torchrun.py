"""Two processes that torchrun started train as one, whatever stops them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from neurodyn.errors import ConfigError
from neurodyn.recording import recording, save, spikes_from_units
from neurodyn.training import devices
from neurodyn.training.history import read_history

from . import torchrun_programs, toy

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def torchrun(*arguments):
    root = Path(__file__).parents[__package__.count(".") + 1]
    changes = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(root)}
    command = [*TORCHRUN, "-m", *map(str, arguments)]
    environment = os.environ | changes
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where a killed run was resumed and all others ended well."""
    folder = tmp_path_factory.mktemp("torchrun")
    program = f"{__package__}.torchrun_programs"
    died = torchrun(program, "die", folder)
    assert died.returncode == 1
    assert "Signal 9 (SIGKILL)" in died.stderr
    assert (folder / "killed" / "state" / "latest").read_text() == "step-00000004"
    done = torchrun(program, "all", folder)
    assert done.returncode == 0, done.stderr
    return folder


def tensors(folder, step=6):
    place = folder / "state" / f"step-{step:08d}"
    return safetensors.torch.load_file(place / "tensors.safetensors")


def assert_same_bits(found, expected):
    found, expected = tensors(found), tensors(expected)
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_learn_what_one_learns_from_the_same_batches(place, strategy, tmp_path):
    torchrun_programs.run_toy(tmp_path, n_devices=1, n_steps=6, batch_size=23, dropout=0.0)
    one, two = tensors(tmp_path), tensors(place / strategy / "plain")
    for name, tensor in one.items():
        if not name.startswith("random/"):
            torch.testing.assert_close(two[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_resumed_they_end_with_the_bits_of_the_whole(place, strategy):
    assert_same_bits(place / strategy / "part", place / strategy / "whole")


def test_a_killed_worker_ends_all_and_the_run_resumes_to_the_bit(place):
    assert_same_bits(place / "killed", place / "ddp" / "whole")


def test_a_signal_to_one_stops_all_and_the_run_resumes_to_the_bit(place):
    folder = place / "stopped"
    for rank in (0, 1):
        assert "stopped after step 3" in (folder / f"stopped-{rank}").read_text()
    assert_same_bits(folder, place / "ddp" / "whole")


def test_sharded_checkpoints_hold_whole_tensors_and_resume_unsharded(place):
    whole, sharded = tensors(place / "ddp" / "whole"), tensors(place / "fsdp" / "whole")
    changed = tensors(place / "changed")
    assert whole.keys() == sharded.keys() == changed.keys()
    for name, tensor in whole.items():
        for other in (sharded, changed):
            torch.testing.assert_close(other[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("fit", "strategy"),
    [
        (torchrun_programs.fit_langevinflow, "ddp"),
        (torchrun_programs.fit_brainmae, "ddp"),
        (torchrun_programs.fit_brainmae, "fsdp"),
    ],
)
def test_models_learn_on_two_processes_what_they_learn_on_one(place, fit, strategy):
    one = fit(1).network_.state_dict()
    two = safetensors.torch.load_file(place / f"{fit.__name__}-{strategy}.safetensors")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        # Adam divides by the root of tiny squares, which magnifies rounding
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-4, msg=name)


def test_a_network_that_cannot_be_sharded_is_refused_with_the_reason(place):
    text = (place / "refused").read_text()
    assert "this network cannot be sharded" in text
    assert "scalar parameters" in text
    assert "strategy='ddp'" in text


def test_only_the_first_process_writes(place):
    history = read_history(place / "ddp" / "whole" / "history.jsonl")
    assert [row["step"] for row in history if row["kind"] == "train"] == list(range(1, 7))
    assert not list(place.rglob("run.lock"))


def test_the_first_process_goes_on_alone(place):
    assert tensors(place / "alone", 3).keys().isdisjoint({"random/1/torch"})


def test_the_command_line_under_torchrun_prints_once(tmp_path):
    rng = np.random.default_rng(0)
    units = {f"unit {i}": np.sort(rng.uniform(0, 60, 300)) for i in range(6)}
    spikes = spikes_from_units(units, observed=[[0.0, 60.0]])
    session = save(recording([spikes]), tmp_path / "session.nc")
    loop = {"n_steps": 3, "warmup_steps": 0, "n_devices": 2, "device": "cpu"}
    settings = [f"--set=training.{name}={value}" for name, value in loop.items()]
    run = tmp_path / "run"
    model = ("fit", "langevinflow", session, "--set=encoder_size=8", "--no-baselines")
    done = torchrun("neurodyn", *model, *settings, "--folder", run)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {run / 'report.html'}\n"
    assert done.stderr == ""
    assert len(read_history(run / "history.jsonl")) == 3


LAUNCHERS = {
    "torchrun": {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
    "srun": {
        "SLURM_NTASKS": "8",
        "SLURM_JOB_NAME": "fit",
        "SLURM_STEP_NUM_TASKS": "8",
        "SLURM_STEP_NUM_NODES": "2",
    },
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_as_many_devices_as_processes_or_an_error(launcher, monkeypatch):
    for name, value in LAUNCHERS[launcher].items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="n_devices is not the number of processes") as caught:
        devices.start_fabric(toy.settings(n_devices=2))
    assert caught.value.found == "n_devices=2, 8 processes"
    assert "training.n_devices=8" in caught.value.hint


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_machines_share_the_devices(launcher, monkeypatch):
    asked = {}

    class Fabric:
        def __init__(self, **how):
            asked.update(how)

        def launch(self):
            asked["launched"] = True

    for name, value in LAUNCHERS[launcher].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(devices, "Fabric", Fabric)
    devices.start_fabric(toy.settings(n_devices=8))
    assert (asked["devices"], asked["num_nodes"], asked["launched"]) == (4, 2, True)
    assert asked["plugins"] is None


def test_one_process_of_a_job_with_many_tasks_is_one(monkeypatch):
    for name, value in LAUNCHERS["srun"].items():
        if "STEP" not in name:
            monkeypatch.setenv(name, value)
    fabric = devices.start_fabric(toy.settings(n_devices=1))
    assert fabric.world_size == 1


def test_helpers_end_and_the_first_process_goes_on(monkeypatch):
    devices.end_helpers()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    assert not devices.is_first_process()
    with pytest.raises(SystemExit) as caught:
        devices.end_helpers()
    assert caught.value.code == 0
