"""The command line: one parser and one small function for each command."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tfimportance import __version__

_EPILOG = """\
exit codes: 0 done; 1 failed while working; 2 arguments or data are wrong.
Each command shows an example with --help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1 or 2."""
    arguments = _parser().parse_args(argv)
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


def _complain(reason: object, code: int) -> int:
    sys.stderr.write(f"tfimportance: error: {reason}\n")
    return code


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _import_tensorflow() -> None:
    """Imports TensorFlow without the device notes it writes to stderr.

    They come from C++ before any log level applies; on a machine without a
    GPU they read like errors.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow

        tensorflow.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _run(arguments: argparse.Namespace) -> None:
    from tfimportance.config import RunConfig

    config = RunConfig.load(arguments.config, arguments.set)
    _import_tensorflow()
    from tfimportance.pipeline import run

    result = run(config)
    comparison = result.metrics["comparison"]
    lower, upper = comparison["interval"]
    _say(comparison["verdict"])
    _say(
        f"AUC {comparison['test_roc_auc_difference']:+.4f} against uniform "
        f"(95% interval {lower:+.4f} to {upper:+.4f}); exported: "
        f"{comparison['chosen']}"
    )
    _say(f"report: {result.report}")
    _say(f"model:  {result.model}")


def _score(arguments: argparse.Namespace) -> None:
    _import_tensorflow()
    from tfimportance.stages import score_files

    weight = score_files(
        arguments.pool,
        arguments.target,
        arguments.output,
        columns=_columns(arguments),
        encoder=arguments.encoder,
        fields=arguments.fields,
        effective_fraction=arguments.effective_fraction,
        mode=arguments.mode,
        scale=arguments.scale,
    )
    _say(
        f"{arguments.output}: {len(weight)} rows worth "
        f"{weight.effective_sample_size:.0f}; the heaviest has "
        f"{weight.largest_share:.2%} of all weight"
    )


def _fit(arguments: argparse.Namespace) -> None:
    _import_tensorflow()
    from tfimportance.stages import fit_files

    result = fit_files(
        arguments.train,
        arguments.validation,
        arguments.output,
        columns=_columns(arguments),
        weights=arguments.weights,
        encoder=arguments.encoder,
        fields=arguments.fields,
        epochs=arguments.epochs,
        seed=arguments.seed,
    )
    _say(
        f"{arguments.output}: AUC {result.target_auc:.4f} on the validation "
        f"rows after epoch {result.best_epoch}"
    )


def _evaluate(arguments: argparse.Namespace) -> None:
    _import_tensorflow()
    from tfimportance.stages import evaluate_file

    result = evaluate_file(
        arguments.model,
        arguments.file,
        label=arguments.label,
        positive=arguments.positive,
        group=arguments.group,
    )
    _say(json.dumps(result.to_dict(), indent=2))


def _export(arguments: argparse.Namespace) -> None:
    _import_tensorflow()
    from tfimportance.stages import export_model

    _say(str(export_model(arguments.model, arguments.output)))


def _distill(arguments: argparse.Namespace) -> None:
    _import_tensorflow()
    from tfimportance.encoding import distill

    _say(
        str(distill(arguments.checkpoint, arguments.output, dim=arguments.dim))
    )


def _datasets(arguments: argparse.Namespace) -> None:
    from tfimportance import datasets

    if arguments.name is None:
        for one in datasets.CATALOG:
            _say(f"{one.name:<26}{one.rows:>7} rows  {one.summary}")
        return
    from tfimportance._files import staged_file

    frame = datasets.load(arguments.name)
    path = arguments.output or f"{arguments.name}.parquet"
    with staged_file(path) as stage:
        frame.to_parquet(stage, index=False)
    _say(f"{path}: {len(frame)} rows, columns {', '.join(frame.columns)}")


def _columns(arguments: argparse.Namespace) -> dict[str, object]:
    names = ("text", "label", "positive", "id", "group")
    return {name: getattr(arguments, name, None) for name in names}


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", help="YAML file, or a bundled example: reviews"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting; may be repeated",
    )


def _score_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pool", help="file of training rows")
    parser.add_argument("target", help="file of target rows")
    _data_options(parser, label_required=False)
    parser.add_argument(
        "--mode",
        default="auto",
        help="label_signed, similarity, or auto: signed where labels are",
    )
    parser.add_argument(
        "--scale", type=float, default=4.0, help="factor before sinh"
    )
    parser.add_argument(
        "--effective-fraction",
        type=float,
        default=0.85,
        help="share of the rows that the weighted data is worth",
    )
    parser.add_argument("--output", required=True, help="Parquet file to write")


def _fit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("train", help="file of training rows")
    parser.add_argument(
        "--validation",
        required=True,
        help="file of held-out target rows that stop the training",
    )
    _data_options(parser, label_required=True)
    parser.add_argument("--weights", help="file that `score` wrote")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", required=True, help="folder to write")


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder that `fit` wrote")
    parser.add_argument("file", help="file of labelled rows")
    _label_options(parser, label_required=True)


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder that `fit` wrote")
    parser.add_argument(
        "output", help="folder of versions; the next one is made"
    )


def _distill_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="KerasHub or Hugging Face folder")
    parser.add_argument("output", help="folder to write")
    parser.add_argument("--dim", type=int, default=256)


def _datasets_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a set to write")
    parser.add_argument("--output", help="Parquet file to write")


def _data_options(
    parser: argparse.ArgumentParser, *, label_required: bool
) -> None:
    parser.add_argument(
        "--text",
        required=True,
        nargs="+",
        metavar="COLUMN",
        help="the text columns",
    )
    _label_options(parser, label_required=label_required)
    parser.add_argument("--id", metavar="COLUMN", help="column of unique ids")
    parser.add_argument(
        "--encoder",
        default="static",
        help="static, or the folder of a checkpoint",
    )
    parser.add_argument(
        "--fields",
        default="auto",
        help="how text columns become one embedding: auto, join, interaction, "
        "concat or mean",
    )


def _label_options(
    parser: argparse.ArgumentParser, *, label_required: bool
) -> None:
    parser.add_argument(
        "--label",
        required=label_required,
        metavar="COLUMN",
        help="the label column",
    )
    parser.add_argument(
        "--positive",
        nargs="+",
        type=_value,
        metavar="VALUE",
        help="label values that count as 1, where labels are not 0/1",
    )
    parser.add_argument(
        "--group",
        metavar="COLUMN",
        help="column, such as the query, whose rows belong together",
    )


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class _Command(NamedTuple):
    call: Callable[[argparse.Namespace], None]
    options: Callable[[argparse.ArgumentParser], None]
    purpose: str
    example: str


_COMMANDS = {
    "run": _Command(
        _run,
        _run_options,
        "The whole chain: weights, comparison with uniform, report, model.",
        "tfimportance run reviews --set seeds=3",
    ),
    "score": _Command(
        _score,
        _score_options,
        "Write the importance and sample weight of every training row.",
        "tfimportance score train.parquet target.parquet --text review "
        "--label recommended --output weights.parquet",
    ),
    "fit": _Command(
        _fit,
        _fit_options,
        "Train a model on a file, with weights or uniformly.",
        "tfimportance fit train.parquet --validation target.parquet --text "
        "review --label recommended --weights weights.parquet --output model",
    ),
    "evaluate": _Command(
        _evaluate,
        _evaluate_options,
        "Print a trained model's AUC and other figures on a file, as JSON.",
        "tfimportance evaluate model test.parquet --label recommended",
    ),
    "export": _Command(
        _export,
        _export_options,
        "Export a trained model for TF Serving: strings in, probability out.",
        "tfimportance export model saved_models/reviews",
    ),
    "distill": _Command(
        _distill,
        _distill_options,
        "Build a small static encoder from a BERT checkpoint folder.",
        "tfimportance distill all-MiniLM-L6-v2 my_encoder --dim 128",
    ),
    "datasets": _Command(
        _datasets,
        _datasets_options,
        "List the bundled data sets, or write one to a file.",
        "tfimportance datasets womens_clothing_reviews --output data.parquet",
    ),
}


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


if __name__ == "__main__":
    sys.exit(main())
