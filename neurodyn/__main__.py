"""``python -m neurodyn`` is the command line."""

from neurodyn.cli import main

main()
