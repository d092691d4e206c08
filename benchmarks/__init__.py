"""Benchmarks: every figure in a document comes from one of these commands."""
