"""Encoders."""

import argparse

from tfimportance.cli.common import (
    Command,
    import_tensorflow,
    say,
)


def _distill(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.encoding import distill

    say(str(distill(arguments.checkpoint, arguments.output, dim=arguments.dim)))


def _distill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="KerasHub or Hugging Face folder")
    parser.add_argument("output", help="folder to write")
    parser.add_argument("--dim", type=int, default=256)


COMMANDS = {
    "distill": Command(
        _distill,
        _distill_options,
        "Build a small static encoder from a BERT checkpoint folder.",
        "tfimportance distill all-MiniLM-L6-v2 my_encoder --dim 128",
    ),
}
