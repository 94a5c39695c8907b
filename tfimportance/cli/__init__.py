"""The command line: one parser and one small function for each command.

chain.py     run, datasets
comparing.py compare
stages.py    score, fit, evaluate
diagnosis.py explain, review
serving.py   export, predict, similar
encoding.py  encode, whiten, distill
common.py    the options that they share
"""

import argparse
import logging
import signal
import sys
import warnings
from collections.abc import Sequence

from tfimportance import __version__
from tfimportance.cli import (
    chain,
    comparing,
    diagnosis,
    encoding,
    serving,
    stages,
)

_COMMANDS = {
    **chain.COMMANDS,
    **comparing.COMMANDS,
    **stages.COMMANDS,
    **diagnosis.COMMANDS,
    **serving.COMMANDS,
    **encoding.COMMANDS,
}
_EPILOG = """\
exit codes: 0 done; 1 failed while working; 2 arguments or data are wrong;
143 ended by SIGTERM.
Each command shows an example with --help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1 or 2.

    Args:
        argv: The words after the program's name; None takes those of the
            process, which is then ended cleanly by SIGTERM, too.
    """
    arguments = _parser().parse_args(argv)
    if argv is None:  # the process is ours, and so are its settings
        signal.signal(signal.SIGTERM, _end)
        warnings.formatwarning = _one_line
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("tfimportance").setLevel(logging.INFO)
    from tfimportance._checks import InputError

    try:
        arguments.command(arguments)
    except (InputError, FileNotFoundError) as error:
        return _complain(error, 2)
    except OSError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("interrupted", 1)
    return 0


def _end(*_: object) -> None:
    """Ends by an exception, so that nothing half-written is left behind."""
    sys.exit(128 + signal.SIGTERM)


def _one_line(message: object, *_: object, **__: object) -> str:
    return f"warning: {' '.join(str(message).split())}\n"


def _complain(reason: object, code: int) -> int:
    sys.stderr.write(f"tfimportance: error: {reason}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="tfimportance",
        description="Find the training samples that matter, and train on them.",
        epilog=_EPILOG,
        formatter_class=as_written,
    )
    parser.add_argument(
        "--version", action="version", version=f"tfimportance {__version__}"
    )
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    for name, command in _COMMANDS.items():
        one = commands.add_parser(
            name,
            help=command.purpose,
            description=command.purpose,
            epilog=f"example:\n  {command.example}",
            formatter_class=as_written,
        )
        command.options(one)
        one.set_defaults(command=command.call)
    return parser
