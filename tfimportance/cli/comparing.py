"""Every strategy against uniform weights, on rows that none has seen."""

import argparse
from pathlib import Path
from typing import Any

from tfimportance.cli.common import (
    Command,
    columns,
    data_options,
    group_option,
    import_tensorflow,
    say,
)

_SHOWN = {
    "roc_auc": "AUC",
    "difference": "difference",
    "lower": "from",
    "upper": "to",
    "adjusted_p_value": "p (Holm)",
    "pr_auc": "PR AUC",
    "ndcg_at_10": "NDCG@10",
    "log_loss": "log loss",
    "calibration_error": "ECE",
}


def _compare(arguments: argparse.Namespace) -> None:
    from tfimportance.config import RunConfig

    source, overrides = arguments.source, arguments.set
    given = _given(arguments)
    if arguments.target is None:
        config = RunConfig.load(source, overrides, **given)
    else:
        files = {"name": Path(source).stem, "pool": source}
        config = RunConfig.with_overrides({**files, **given}, overrides)
    import_tensorflow()
    from dataclasses import replace

    import pandas as pd

    from tfimportance.pipeline import run
    from tfimportance.strategies import COMPARED

    others = [each for each in ("auto", *COMPARED) if each != config.strategy]
    result = run(replace(config, compare=config.compare or tuple(others)))
    table = pd.read_csv(result.output / "comparison.csv").set_index("strategy")
    shown = table[[name for name in _SHOWN if name in table]]
    say(shown.rename(columns=_SHOWN).round(4).to_string(na_rep=""))
    say(result.metrics["comparison"]["statement"])
    say(f"exported: {result.metrics['comparison']['chosen']}")
    say(f"report: {result.report}")
    say(f"model:  {result.model}")


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings that the options name."""
    settings = {
        "name": arguments.name,
        "target": arguments.target,
        "encoder": arguments.encoder,
        "fields": arguments.fields,
        "compare": arguments.strategies,
        **columns(arguments),
    }
    return {
        name: value for name, value in settings.items() if value is not None
    }


def _compare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        help="YAML file or bundled example; or, with --target, the training "
        "rows",
    )
    parser.add_argument(
        "--target", help="file of labelled rows of the traffic that counts"
    )
    parser.add_argument("--name", help="name of the run folder and the model")
    data_options(parser, label_required=False, text_required=False)
    parser.set_defaults(encoder=None, fields=None)  # those of the YAML file
    group_option(parser)
    parser.add_argument(
        "--strategies",
        nargs="+",
        metavar="NAME",
        help="what to train beside uniform and the run's own weights",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, such as seeds=10; may be repeated",
    )


COMMANDS = {
    "compare": Command(
        _compare,
        _compare_options,
        "Train by every strategy and say which differ from uniform weights.",
        "tfimportance compare train.parquet --target target.parquet --text "
        "review --label recommended",
    ),
}
