"""The entry point: `python run.py`, or `mixlingua` where the package is installed. --help says more."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext

import mixlingua
from mixlingua.cli.command_line import help_text, parsed
from mixlingua.errors import ends_with_its_reader, errors_on_stderr, signals_interrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, None: that of sys.argv; exits with 2 and one message where it is wrong (docs/reports.md)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parsed(given)
    with ends_with_its_reader() if options.help or options.version or options.cfg else nullcontext():
        if options.help:
            print(help_text(options.config_dir))
        elif options.version:
            print(f"mixlingua {mixlingua.__version__}")
        else:
            with errors_on_stderr(), signals_interrupt():
                from mixlingua.cli.launch import launch  # with Hydra

                launch(given)
