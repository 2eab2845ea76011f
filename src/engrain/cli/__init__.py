"""The terminal's door to engrain. Everything heavy is imported inside the command that needs it, so that `engrain --help` answers at once."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from engrain.cli import loop as loop  # importing them makes the commands
from engrain.cli import service as service
from engrain.cli import teams as teams
from engrain.cli import text as text
from engrain.cli.common import app as app


def say_version(asked: bool) -> None:
    """`engrain --version`."""
    if asked:
        import engrain

        print(f"engrain {engrain.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=say_version, is_eager=True, help="Say which engrain this is, and end.")
    ] = False,
) -> None:
    """What may stand before a command."""


def main() -> None:
    """The `engrain` command."""
    # Before transformers is imported anywhere: the hub client reads it once.
    os.environ["HF_HUB_OFFLINE"] = "1"
    app()
