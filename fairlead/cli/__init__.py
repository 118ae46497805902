"""The command line: `fairlead …`. Every command is one call into the logic."""

import errno
import sys

from fairlead.errors import FairleadError

INTERRUPTED = 130
NO_ROOM = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EROFS: "the disk is read-only"}


def main() -> None:
    """Run a command; what the user can mend is one message and exit code 1, never a traceback."""
    from rich.console import Console

    from fairlead.cli.app import app

    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app()
    except FairleadError as error:
        errors.print("[bold red]error:[/] ", end="")
        errors.print(str(error), markup=False)
        sys.exit(1)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:  # Typer has made this of Ctrl-C, without a word
            errors.print("\ninterrupted; the same command goes on where this one stopped")
        raise
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        errors.print(f"[bold red]error:[/] {NO_ROOM[error.errno]}: {error.filename or error}")
        sys.exit(1)
