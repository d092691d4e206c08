"""The command line: one verb per job, thin; all work is done by the package."""

from neurodyn.cli.app import main

__all__ = ["main"]
