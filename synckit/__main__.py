"""`python -m synckit` is the command line."""

from synckit.cli import main

main()
