"""Triton runs here in its interpreter, which it decides when it is imported."""

import os

os.environ["TRITON_INTERPRET"] = "1"

from benchmarks.gpu.interpreter import repair

repair()
