"""Triton's interpreter, which all tests run it in, as NumPy needs it."""

from benchmarks.gpu.interpreter import repair

repair()
