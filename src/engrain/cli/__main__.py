"""`python -m engrain.cli`."""

from engrain.cli import main

main()
