"""What is served, for people and programs: `signature.json`, `MODEL_CARD.md`.

The card follows "Model Cards for Model Reporting" (Mitchell et al., 2019):
what the model is, what it is for, on what data and how well it does.
"""

import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfimportance import __version__
from tfimportance._checks import check_choice
from tfimportance._files import write_json
from tfimportance.serving.checks import graph_of, operations
from tfimportance.serving.signatures import Signature
from tfimportance.serving.targets import TargetSet

JSON, MARKDOWN = "signature.json", "MODEL_CARD.md"
SECTIONS = {
    "intended_use": "Intended use",
    "data": "Data",
    "metrics": "Metrics",
    "licence": "Licence",
}
_UNSAID = "Not stated by whoever exported the model."


def check_card(card: Mapping[str, Any]) -> None:
    """Raises where the card has a section that is none."""
    for section in card:
        check_choice("card", section, SECTIONS)


def describe(
    name: str,
    signatures: Mapping[str, Signature],
    functions: Mapping[str, Any],
    columns: Mapping[str, str],
    targets: TargetSet | None,
) -> dict[str, Any]:
    """Returns the facts of an exported model, as they stand in the JSON."""
    graphs = map(graph_of, functions.values())
    found = {op for graph in graphs for op in operations(graph)}
    return {
        "name": name,
        "exported": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": package_versions(),
        "columns": dict(columns),
        "signatures": {
            key: {
                "purpose": each.purpose,
                "inputs": _tensors(each.specs),
                "outputs": _tensors(functions[key].structured_outputs),
            }
            for key, each in signatures.items()
        },
        # The server must be built with these, beside TensorFlow itself.
        "text_operations": sorted(
            op for op in found if not hasattr(tf.raw_ops, op)
        ),
        "target_set": None if targets is None else targets.facts(),
    }


def package_versions() -> dict[str, str]:
    """Returns what made a model, by the name of the package."""
    return {
        "tfimportance": __version__,
        "tensorflow": tf.__version__,
        "tensorflow-text": version("tensorflow-text"),
        "keras": version("keras"),
        "python": platform.python_version(),
    }


def write_card(folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes both files into the SavedModel's folder."""
    write_json(folder / JSON, facts)
    (folder / MARKDOWN).write_text(_markdown(facts), encoding="utf-8")


def _tensors(specs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"dtype": spec.dtype.name, "shape": list(spec.shape)}
        for name, spec in specs.items()
    }


def _markdown(facts: Mapping[str, Any]) -> str:
    lines = [f"# {facts['name']}", "", f"Exported {facts['exported']} with "]
    lines[-1] += ", ".join(f"{k} {v}" for k, v in facts["versions"].items())
    for section, title in SECTIONS.items():
        lines += ["", f"## {title}", ""]
        lines += _items(facts["card"].get(section, _UNSAID))
    if facts["target_set"]:
        lines += ["", "## Target set", "", *_items(facts["target_set"])]
    lines += ["", "## Signatures", ""]
    lines += ["| name | inputs | outputs | answer |", "|---|---|---|---|"]
    for name, each in facts["signatures"].items():
        inputs, outputs = (_cell(each[side]) for side in ("inputs", "outputs"))
        lines.append(f"| {name} | {inputs} | {outputs} | {each['purpose']} |")
    return "\n".join(lines) + "\n"


def _items(value: Any, indent: str = "") -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{indent}{value}"]
    lines = []
    for key, each in value.items():
        if isinstance(each, Mapping):
            lines += [f"{indent}- {key}:", *_items(each, indent + "  ")]
        else:
            lines.append(f"{indent}- {key}: {_plain(each)}")
    return lines


def _plain(value: Any) -> str:
    is_list = isinstance(value, (list, tuple))
    if is_list and len(value) == 2 and all(map(_is_real, value)):
        return " to ".join(map(_plain, value))  # an interval
    if is_list:
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if _is_real(value) else str(value)


def _is_real(value: Any) -> bool:
    return isinstance(value, (float, np.floating))


def _cell(tensors: Mapping[str, Any]) -> str:
    return "<br>".join(
        f"{name}: {each['dtype']} {_shape(each['shape'])}"
        for name, each in tensors.items()
    )


def _shape(sizes: list[int | None]) -> str:
    inner = [str(size or "any") for size in sizes[1:]]
    return f"({', '.join(['batch', *inner])})"
