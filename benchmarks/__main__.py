"""Run the benchmarks that take minutes: ``python -m benchmarks``."""

from __future__ import annotations

import subprocess
import sys

QUICK = ("import_time", "binning", "windows", "langevinflow_step")


def main() -> None:
    """Run each benchmark in a process of its own."""
    for name in QUICK:
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
