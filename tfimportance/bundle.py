"""A trained model in a folder, with what it takes to give it text again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors.numpy import load_file, save_file

from tfimportance._checks import check_file, fail
from tfimportance._files import staged_folder, write_json
from tfimportance.serving import TargetSet

_MODEL = "model.keras"
_SETTINGS = "bundle.json"
_TARGETS = "targets.safetensors"
_ARRAYS = ("embeddings", "labels", "offset")
_OPTIONS = ("scale", "clip", "normalize", "reduction")


@dataclass(frozen=True)
class Bundle:
    """A Keras model on embeddings, and how its embeddings are made.

    Attributes:
        model: From embeddings `(num_samples, dim)` to a probability.
        encoder: What `load_encoder` takes.
        text: The text columns.
        fields: How they become one embedding; see `encode`.
        targets: What an exported model scores importance against, or None.
        card: What its model card says; see `export`.
    """

    model: keras.Model
    encoder: str | Mapping[str, Any]
    text: tuple[str, ...]
    fields: str = "auto"
    targets: TargetSet | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path) -> Path:
        """Writes the folder, whole or not at all; replaces an older one."""
        settings = {
            "encoder": self.encoder,
            "text": list(self.text),
            "fields": self.fields,
            "targets": _options(self.targets),
            "card": dict(self.card),
        }
        with staged_folder(Path(folder), _SETTINGS) as stage:
            self.model.save(stage / _MODEL)
            if self.targets is not None:
                save_file(_arrays(self.targets), stage / _TARGETS)
            write_json(stage / _SETTINGS, settings)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> "Bundle":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: The folder does not exist.
            InputError: It is not the folder of a bundle.
        """
        folder = Path(folder)
        check_file("model", folder)
        if not (folder / _SETTINGS).exists():
            raise fail(
                f"`model` must be a folder that `tfimportance fit` wrote, with "
                f"{_SETTINGS} in it.",
                f"model={str(folder)!r}",
            )
        settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
        return cls(
            _load_model(folder / _MODEL),
            settings["encoder"],
            tuple(settings["text"]),
            settings["fields"],
            _load_targets(folder, settings.get("targets")),
            settings.get("card", {}),
        )


def _load_model(path: Path) -> keras.Model:
    """Returns the Keras model; a file that holds code is refused."""
    try:
        return keras.saving.load_model(path, safe_mode=True)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise fail(
            "`model` must hold layers that Keras knows, and no code.",
            f"{str(path)!r} ({reason})",
            "Register the class of a layer of your own before loading.",
        ) from error


def _options(targets: TargetSet | None) -> dict[str, Any] | None:
    if targets is None:
        return None
    if not isinstance(targets.reduction, str):
        raise fail(
            "`targets.reduction` must be a name, to be saved.",
            f"reduction={targets.reduction}",
            "Export the model itself, without saving it first.",
        )
    return {name: getattr(targets, name) for name in _OPTIONS}


def _arrays(targets: TargetSet) -> dict[str, Any]:
    arrays = {name: getattr(targets, name) for name in _ARRAYS}
    return {
        name: np.ascontiguousarray(array)
        for name, array in arrays.items()
        if array is not None
    }


def _load_targets(
    folder: Path, options: dict[str, Any] | None
) -> TargetSet | None:
    if options is None:
        return None
    return TargetSet(**load_file(folder / _TARGETS), **options)
