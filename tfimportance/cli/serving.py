"""From a trained model to a served one."""

import argparse

from tfimportance.cli.common import (
    Command,
    import_tensorflow,
    say,
)


def _export(arguments: argparse.Namespace) -> None:
    import_tensorflow()
    from tfimportance.stages import export_model

    say(str(export_model(arguments.model, arguments.output)))


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder that `fit` wrote")
    parser.add_argument(
        "output", help="folder of versions; the next one is made"
    )


COMMANDS = {
    "export": Command(
        _export,
        _export_options,
        "Export a trained model for TF Serving: strings in, probability out.",
        "tfimportance export model saved_models/reviews",
    ),
}
