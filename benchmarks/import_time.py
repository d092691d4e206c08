"""Time of ``import neurodyn`` in a fresh process: ``python -m benchmarks.import_time``.

Bar: 0.3 s more than an empty interpreter.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks._measure import interleaved, write_table


def main() -> None:
    """Measure and record."""
    best = interleaved(
        {
            name: lambda code=code: subprocess.run([sys.executable, "-c", code], check=True)
            for name, code in (("python", "pass"), ("import neurodyn", "import neurodyn"))
        },
        repeats=10,
    )
    above = best["import neurodyn"] - best["python"]
    row = {"python": best["python"], "above_python": above, "bar": 0.3, "passes": above <= 0.3}
    write_table("import_time", [row])


if __name__ == "__main__":
    main()
