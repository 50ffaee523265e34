"""`python -m stream.cli` is the command `vigia`."""

from stream.cli import main

main()
