"""The benchmark for GPUs runs to its end on a CPU, in Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

import benchmarks.gpu.__main__ as gpu
from benchmarks.gpu import accuracy, worker
from benchmarks.gpu.case import Case, Workload
from benchmarks.gpu.report import Target, report

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )


def test_everything_runs_and_resumes(tmp_path):
    tiny = ("--device", "cpu", "--tiny", "--output", str(tmp_path))
    done = command(*tiny)
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("*.json")
    rows = json.loads(written.read_text())["rows"]
    assert [row["error"] for row in rows if "error" in row] == []
    assert {row["kernel"] for row in rows} == {"floors", *gpu.KERNELS}
    checks = [row for row in rows if row["version"] == "check"]
    assert [row["errors"] for row in checks if not row["correct"]] == []
    ours = [row for row in rows if row["version"] == "ours" and row["kernel"] != "generation"]
    assert {(row["kernel"], *row["routes"].values()) for row in ours} == {
        ("k1", "triton", "triton"),
        ("halves", "triton"),
        ("k3", "triton"),
        ("k4", "triton"),
    }
    assert written.with_suffix(".txt").read_text() in done.stdout
    # the lines hold everything, so a second run has nothing to do
    lines = written.with_suffix(".jsonl").read_text()
    again = command(*tiny, "--resume")
    assert "0 left" in again.stdout
    assert written.with_suffix(".jsonl").read_text() == lines


def test_kernels_import_without_the_other_requirements(tmp_path):
    code = """
import sys
sys.modules.update(dict.fromkeys(['lazy_loader', 'xarray', 'pandas', 'scipy', 'h5py', 'h5netcdf',
    'pynwb', 'tensorly', 'mne', 'matplotlib', 'sklearn', 'safetensors', 'typer', 'rich',
    'lightning_fabric', 'pooch', 'tomli_w', 'threadpoolctl']))
from benchmarks.gpu.__main__ import plan
from benchmarks.gpu.bare import operation
plan((), tiny=True), plan((), tiny=False)
print(operation('langevin_scan').__name__, operation('roi_attention').__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["langevin_scan", "roi_attention"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("k9",), "no such kernel: k9; there are k1, halves, k3, k4, generation"),
        (("--device", "cpu"), "only --tiny runs on the CPU"),
    ],
)
def test_wrong_calls_are_refused(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", *arguments])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def case(build, **more) -> Case:
    given = {"kernel": "k1", "size": "B=2", "version": "ours", "passes": "forward"}
    return Case(**{**given, "build": build, "rank": 0, "seconds": 0.1, **more})


def test_a_failing_case_is_recorded_and_the_next_one_runs(tmp_path):
    def broken(device):
        raise ValueError("no such size")

    results = tmp_path / "here.jsonl"
    cases = [case(broken), case(lambda device: Workload(lambda: None), version="eager")]
    assert worker.work(cases, results, CPU, time.time() + 60)
    first, second = map(json.loads, results.read_text().splitlines())
    assert first["error"] == "ValueError: no such size"
    assert second["ms"] >= 0


def test_a_fault_of_the_device_ends_the_process(tmp_path):
    def faulty(device):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    cases = [case(faulty), case(lambda device: Workload(lambda: None), version="eager")]
    results = tmp_path / "here.jsonl"
    assert not worker.work(cases, results, CPU, time.time() + 60)
    assert len(results.read_text().splitlines()) == 1


def test_no_case_starts_that_would_end_too_late(tmp_path):
    results = tmp_path / "here.jsonl"
    assert worker.work([case(None, seconds=100.0)], results, CPU, time.time() + 60)
    assert not results.exists()


def test_a_gap_in_an_output_is_seen():
    with accuracy.poisoned():
        out = torch.empty(3)
        assert torch.empty_like(out).isnan().all()
        assert torch.empty(2, dtype=torch.int64).dtype == torch.int64
    out[:2] = 1.0
    row = accuracy.compare(["a"], [out], [torch.ones(3)], 1e-3)
    assert not row["correct"]
    assert accuracy.compare(["a"], [torch.ones(3)], [torch.ones(3)], 1e-3)["correct"]


def rows() -> list[dict]:
    shared = {"kernel": "k1", "passes": "forward", "size": "B=2", "n_bytes": 2e9}
    shared |= {"n_operations": 0.0, "unit": "tf32"}
    floor = {**shared, "kernel": "floors", "version": "library", "n_operations": 1e9, "ms": 1.0}
    return [
        {**floor, "size": "copy"},
        {**floor, "size": "tf32", "n_bytes": 0.0},
        {**shared, "version": "ours", "ms": 2.0, "routes": {"scan": "torch"}},
        {**shared, "version": "eager", "ms": 30.0},
        {**shared, "version": "flex", "error": "RuntimeError: no"},
    ]


def test_report_sets_times_beside_floors_and_targets():
    targets = [
        Target("k1", "20 x over eager", ("eager",), ("ours",), 20),
        Target("k1", "half of the floor", ("floor",), ("ours",), 0.5),
        Target("k1", "8 for 2", ("ours of 8",), ("ours",), None, 2),
    ]
    text = report({"device": "here"}, rows(), targets)
    assert "target 20 x over eager: MISSED, 15.00 to 15.00 at 1 sizes" in text
    assert "target half of the floor: reached, 0.50 to 0.50 at 1 sizes" in text
    assert "target 8 for 2: not measured" in text
    assert "failed: k1 B=2 flex: RuntimeError: no" in text
    assert "not by Triton: k1 B=2 {'scan': 'torch'}" in text
    line = next(line for line in text.splitlines() if "fwd" in line)
    assert line.split() == ["B=2", "fwd", "1", "2", "30"]


STAND_IN = """
import json, pathlib, sys, time
job = json.loads(sys.argv[1])
results = pathlib.Path(job["results"])
for name in job["names"]:
    results.with_suffix(".running").write_text(name)
    if "dies" in name:
        sys.exit(3)
    if "hangs" in name:
        time.sleep(60)
    with results.open("a") as file:
        file.write(json.dumps({"name": name, "ms": 1.0}) + "\\n")
"""


def test_cases_that_kill_or_hang_their_process_do_not_stop_the_run(tmp_path, monkeypatch):
    def child(chosen, job):
        return subprocess.Popen([sys.executable, "-c", STAND_IN, json.dumps(job)])

    monkeypatch.setattr(gpu, "child", child)
    monkeypatch.setattr(gpu, "AT_LEAST", 1.0)
    versions = ("first", "dies", "second", "hangs", "last")
    cases = [case(None, version=version) for version in versions]
    results = tmp_path / "here.jsonl"
    gpu.supervise(None, cases, results, time.time() + 60)
    rows = {row["name"].split(" | ")[2]: row for row in gpu.read(results)}
    assert [version for version in versions if "ms" in rows[version]] == ["first", "second", "last"]
    assert rows["dies"]["error"] == "the process ended with status 3"
    assert rows["hangs"]["error"] == "no result within 1 s"
    assert not list(tmp_path.glob("*.running"))


def test_results_of_changed_kernels_and_failures_are_made_anew(tmp_path):
    results = tmp_path / "here.jsonl"
    cases = [case(None, version=version) for version in ("stands", "changed", "failed")]
    more = ({"ms": 1.0}, {"ms": 1.0, "digest": "of another kernel"}, {"error": "no"})
    for given, extra in zip(cases, more, strict=True):
        worker.append(results, {**worker.about(given), **extra})
    assert gpu.keep_standing(results, cases) == {cases[0].name}
    assert [row["name"] for row in gpu.read(results)] == [cases[0].name]
