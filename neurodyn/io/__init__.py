"""Files in and out: one front door for every format."""

from neurodyn.io.formats import Format, load, open, recognise, register

__all__ = ["Format", "load", "open", "recognise", "register"]
