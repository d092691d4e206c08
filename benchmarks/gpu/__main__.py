"""Measure the kernels on the GPU of this machine.

    python -m benchmarks.gpu [NAME ...] --minutes 8 --resume [--output FOLDER]

Results are appended one by one to FOLDER/<device>.jsonl, so that a run can be cut off and resumed;
at its end <device>.json and <device>.txt are written and the table is printed. Cases run in a
process of their own, which is started anew when one of them kills it or hangs. The kernels are
compiled in several processes first. ``--device cpu --tiny`` runs everything in Triton's interpreter
at sizes that only show that it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import (
    floors,
    generation,
    k1_halves,
    k1_langevin_scan,
    k3_roi_attention,
    k4_poisson_nll,
)
from benchmarks.gpu.case import Case
from benchmarks.gpu.interpreter import repair
from benchmarks.gpu.report import report
from benchmarks.gpu.worker import about, append, compile_ahead, work

KERNELS: dict[str, Any] = {
    "k1": k1_langevin_scan,
    "halves": k1_halves,
    "k3": k3_roi_attention,
    "k4": k4_poisson_nll,
    "generation": generation,
}
RESULTS = Path(__file__).resolve().parents[1] / "results" / "gpu"
#: A case is given up after this many times its predicted cost, and this many seconds.
PATIENCE, AT_LEAST = 5.0, 45.0


def plan(names: Sequence[str], tiny: bool) -> list[Case]:
    """Return the cases of some kernels, the floors first, then by importance."""
    chosen = [floors, *(KERNELS[name] for name in names or KERNELS)]
    return sorted((case for kernel in chosen for case in kernel.cases(tiny)), key=lambda c: c.rank)


def arguments() -> argparse.Namespace:
    """Return what the command was called with."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(KERNELS)}; all by default"
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="start no case after this long")
    parser.add_argument("--resume", action="store_true", help="keep results of unchanged kernels")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    parser.add_argument("--processes", type=int, default=8, help="that compile at the start")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(KERNELS):
        parser.error(
            f"no such kernel: {', '.join(sorted(unknown))}; there are {', '.join(KERNELS)}"
        )
    if chosen.list:
        return chosen
    if chosen.device == "cpu" and not chosen.tiny:
        parser.error("only --tiny runs on the CPU: an interpreter's times mean nothing")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here; --device cpu --tiny shows that everything runs")
    return chosen


def environment(device: str) -> dict[str, str]:
    """Return what the results depend on beside the code."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu {platform.machine()}"
    import triton

    versions = {"torch": str(torch.__version__), "triton": triton.__version__}
    if device == "cuda":
        versions.update(cuda=str(torch.version.cuda), cudnn=str(torch.backends.cudnn.version()))
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return {"device": name, "date": day, "python": platform.python_version(), **versions}


def read(results: Path) -> list[dict[str, Any]]:
    """Return the rows of a file, the last one of each case."""
    if not results.exists():
        return []
    rows = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    return list({row["name"]: row for row in rows}.values())


def keep_standing(results: Path, cases: Sequence[Case]) -> set[str]:
    """Drop failures and results of kernels that have changed; return the names of the others."""
    digests = {case.name: case.digest for case in cases}
    rows = read(results)
    rows = [x for x in rows if "error" not in x and digests.get(x["name"]) == x["digest"]]
    results.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {row["name"] for row in rows}


def child(chosen: argparse.Namespace, job: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start a process of this command that runs the cases of a job."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", json.dumps(job)]
    command += ["--device", chosen.device, *(["--tiny"] if chosen.tiny else [])]
    root = str(Path(__file__).resolve().parents[2])
    # each of several processes would have the library compile in as many as there are cores
    extra = {"TORCHINDUCTOR_COMPILE_THREADS": "2"}
    if chosen.device == "cpu":
        extra["TRITON_INTERPRET"] = "1"
    return subprocess.Popen(command, cwd=root, env={**os.environ, **extra})


def serve(chosen: argparse.Namespace) -> None:
    """Do the job of a child process."""
    job = json.loads(chosen.child)
    by_name = {case.name: case for case in plan((), chosen.tiny)}
    cases, device = [by_name[name] for name in job["names"]], torch.device(chosen.device)
    torch.set_float32_matmul_precision("high")
    if chosen.device == "cpu":
        repair()
    if job["results"] is None:
        compile_ahead(cases, device)
    elif not work(cases, Path(job["results"]), device, job["deadline"]):
        # Nothing on the device can be put in order again, so the process does not try to.
        os._exit(1)


def compile_all(chosen: argparse.Namespace, cases: Sequence[Case], deadline: float) -> None:
    """Compile the kernels of all cases, in several processes at once."""
    first = [case for case in cases if case.compiles]
    shares = [first[start :: chosen.processes] for start in range(chosen.processes)]
    running = [
        child(chosen, {"names": [case.name for case in share], "results": None})
        for share in shares
        if share
    ]
    for process in running:
        try:
            process.wait(timeout=max(1.0, deadline - time.time()))
        except subprocess.TimeoutExpired:
            process.kill()


def supervise(
    chosen: argparse.Namespace, cases: Sequence[Case], results: Path, deadline: float
) -> None:
    """Run cases in child processes until all have a result or the time is over."""
    running = results.with_suffix(".running")
    todo = list(cases)
    while todo and time.time() < deadline:
        running.write_text("", encoding="utf-8")
        job = {"names": [case.name for case in todo], "results": str(results), "deadline": deadline}
        fate = watch(child(chosen, job), running, {case.name: case for case in todo})
        present = running.read_text(encoding="utf-8")
        done = {row["name"] for row in read(results)}
        if fate is None:
            break
        for case in todo:
            if case.name == present and case.name not in done:
                append(results, {**about(case), "error": fate})
        done |= {present}
        todo = [case for case in todo if case.name not in done]
        if not present:
            raise SystemExit(f"the process that runs the cases did not start: {fate}")
    running.unlink(missing_ok=True)


def watch(process: subprocess.Popen[bytes], running: Path, cases: dict[str, Case]) -> str | None:
    """Wait for a child; return what it died of, or nothing if it ran to its end."""
    while process.poll() is None:
        time.sleep(0.1)
        case = cases.get(running.read_text(encoding="utf-8"))
        limit = AT_LEAST if case is None else max(AT_LEAST, PATIENCE * case.seconds)
        if time.time() - running.stat().st_mtime > limit:
            process.kill()
            process.wait()
            return f"no result within {limit:.0f} s"
    return f"the process ended with status {process.returncode}" if process.returncode else None


def main() -> None:
    """Run what is missing, then write and print everything."""
    chosen = arguments()
    if chosen.child:
        serve(chosen)
        return
    start = time.time()
    deadline = start + 60 * chosen.minutes
    cases = plan(chosen.names, chosen.tiny)
    if chosen.list:
        for case in cases:
            print(f"{case.seconds:5.1f} s  {case.name}")
        print(f"{sum(case.seconds for case in cases) / 60:.1f} minutes in all")
        return
    chosen.output.mkdir(parents=True, exist_ok=True)
    facts = environment(chosen.device)
    results = chosen.output.resolve() / f"{facts['device'].lower().replace(' ', '-')}.jsonl"
    if not chosen.resume:
        results.unlink(missing_ok=True)
    standing = keep_standing(results, plan((), chosen.tiny))
    missing = [case for case in cases if case.name not in standing]
    if chosen.device == "cuda":
        compile_all(chosen, missing, start + min(90.0, 15 * chosen.minutes))
    supervise(chosen, missing, results, deadline)
    by_name = {row["name"]: row for row in read(results)}
    rows = [by_name[case.name] for case in cases if case.name in by_name]
    left = len(cases) - len(rows)
    facts["run"] = f"{time.time() - start:.0f} s, {len(rows)} results, {left} left for --resume"
    targets = [target for name in chosen.names or KERNELS for target in KERNELS[name].TARGETS]
    text = report(facts, rows, targets)
    record = json.dumps({**facts, "rows": rows}, indent=1) + "\n"
    results.with_suffix(".json").write_text(record, encoding="utf-8")
    results.with_suffix(".txt").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
