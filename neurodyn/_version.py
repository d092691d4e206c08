"""The version of neurodyn."""

__version__ = "0.1.0"
