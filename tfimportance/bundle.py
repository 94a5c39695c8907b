"""A trained model in a folder, with what it takes to give it text again."""

import json
from dataclasses import dataclass
from pathlib import Path

import keras

from tfimportance._checks import check_file, fail
from tfimportance._files import staged_folder

_MODEL = "model.keras"
_SETTINGS = "bundle.json"


@dataclass(frozen=True)
class Bundle:
    """A Keras model on embeddings, and how its embeddings are made.

    Attributes:
        model: From embeddings `(num_samples, dim)` to a probability.
        encoder: What `load_encoder` takes.
        text: The text columns.
        fields: How they become one embedding; see `encode`.
    """

    model: keras.Model
    encoder: str
    text: tuple[str, ...]
    fields: str = "auto"

    def save(self, folder: str | Path) -> Path:
        """Writes the folder, whole or not at all; replaces an older one."""
        settings = {
            "encoder": self.encoder,
            "text": list(self.text),
            "fields": self.fields,
        }
        with staged_folder(Path(folder), _SETTINGS) as stage:
            self.model.save(stage / _MODEL)
            text = json.dumps(settings, indent=2) + "\n"
            (stage / _SETTINGS).write_text(text, encoding="utf-8")
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
        model = keras.saving.load_model(folder / _MODEL)
        return cls(
            model,
            settings["encoder"],
            tuple(settings["text"]),
            settings["fields"],
        )
