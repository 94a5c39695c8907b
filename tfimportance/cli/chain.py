"""The whole chain in one command, and the data it ships with."""

import argparse
from pathlib import Path

from tfimportance.cli.common import (
    Command,
    import_tensorflow,
    say,
)


def _run(arguments: argparse.Namespace) -> None:
    from tfimportance.config import RunConfig

    config = RunConfig.load(arguments.config, arguments.set)
    import_tensorflow()
    from tfimportance.pipeline import run

    result = run(config)
    comparison = result.metrics["comparison"]
    lower, upper = comparison["interval"]
    say(comparison["verdict"])
    say(
        f"AUC {comparison['test_roc_auc_difference']:+.4f} against uniform "
        f"(95% interval {lower:+.4f} to {upper:+.4f}); exported: "
        f"{comparison['chosen']}"
    )
    say(f"report: {result.report}")
    say(f"model:  {result.model}")


def _datasets(arguments: argparse.Namespace) -> None:
    from tfimportance import datasets

    if arguments.name is None:
        for one in datasets.CATALOG:
            say(f"{one.name:<26}{one.rows:>7} rows  {one.summary}")
        return
    from tfimportance._files import check_output, staged_file

    path = arguments.output or f"{arguments.name}.parquet"
    check_output("output", Path(path), [".parquet"])
    frame = datasets.load(arguments.name)
    with staged_file(path) as stage:
        frame.to_parquet(stage, index=False)
    say(f"{path}: {len(frame)} rows, columns {', '.join(frame.columns)}")


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


def _datasets_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a set to write")
    parser.add_argument("--output", help="Parquet file to write")


COMMANDS = {
    "run": Command(
        _run,
        _run_options,
        "The whole chain: weights, comparison with uniform, report, model.",
        "tfimportance run reviews --set seeds=3",
    ),
    "datasets": Command(
        _datasets,
        _datasets_options,
        "List the bundled data sets, or write one to a file.",
        "tfimportance datasets womens_clothing_reviews --output data.parquet",
    ),
}
