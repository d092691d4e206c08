"""Kernels on a GPU against the best other routes: ``python -m benchmarks.gpu --help``.

Needs Python 3.11, torch, triton and a copy of the repository; nothing has to be installed.
"""
