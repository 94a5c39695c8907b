"""Checkpoint folders, of KerasHub or Hugging Face, to encoders."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tfimportance._checks import InputError, fail
from tfimportance.encoding.backbone import BackboneEncoder
from tfimportance.encoding.pooling import POOLINGS
from tfimportance.encoding.post_norm import is_post_norm

_WEIGHTS = "model.safetensors"


def load_checkpoint(
    argument: str,
    folder: Path,
    name: str,
    *,
    dtype: str = "float32",
    **settings: Any,
) -> BackboneEncoder:
    """Returns the encoder in `folder`; errors call it `argument`.

    What sentence-transformers wrote beside a Hugging Face checkpoint is
    followed where `settings` are silent: pooling, length and normalisation.

    Raises:
        InputError: KerasHub cannot read the folder, or the sentence model has
            a module behind its pooling that would be left out, or drops
            accents but not case, or the reverse.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    given = {key: value for key, value in settings.items() if value is not None}
    found = _sentence_settings(argument, folder, given)
    tokens = _json(folder / "tokenizer_config.json")
    _check_accents(argument, folder, tokens)
    try:
        with _as_saved_with_head(folder, config.get("model_type")) as whole:
            backbone, tokenizer = _read(whole, dtype)
    except Exception as error:  # each converter and file format has its own
        raise unreadable(argument, folder, error) from error
    return BackboneEncoder(
        backbone,
        tokenizer,
        **{**found, **given},
        activation=config.get("hidden_act", config.get("activation")),
        dtype=dtype,
        add_end=bool(tokens.get("add_eos_token")),
        name=name,
    )


def _check_accents(argument: str, folder: Path, tokens: dict[str, Any]) -> None:
    """Raises unless accents go with the case, as `Tokens` has it."""
    lowercase, strip = tokens.get("do_lower_case"), tokens.get("strip_accents")
    is_word_piece = lowercase is not None and (folder / "vocab.txt").exists()
    if is_word_piece and strip not in (None, lowercase):
        raise fail(
            f"`{argument}` must be a checkpoint that drops accents if, and "
            "only if, it drops case.",
            f"{argument}={str(folder)!r} with do_lower_case={lowercase} and "
            f"strip_accents={strip} in its tokenizer_config.json",
            "Give a function from strings to embeddings.",
        )


def _read(folder: Path, dtype: str) -> tuple[Any, Any]:
    """Returns KerasHub's backbone and tokenizer."""
    import keras_hub  # slow to import, and only needed here

    load = keras_hub.models.Backbone.from_preset
    backbone = load(str(folder), dtype=dtype)
    if is_post_norm(backbone) and dtype != "float32":
        # It keeps norms and embeddings in float32.
        backbone = load(str(folder), dtype="float32")
    if type(backbone) is keras_hub.models.RobertaBackbone:
        _add_segment(backbone, folder / _WEIGHTS)
    return backbone, keras_hub.models.Tokenizer.from_preset(str(folder))


@contextmanager
def _as_saved_with_head(folder: Path, family: object) -> Iterator[Path]:
    """Yields a folder whose weights have the names that KerasHub asks for.

    Of these families it knows models with a head only: their names begin with
    the family's. Sentence models are saved without.
    """
    file = folder / _WEIGHTS
    if family not in ("roberta", "distilbert") or not file.exists():
        yield folder
        return
    with safe_open(file, "numpy") as weights:
        if any(name.startswith(f"{family}.") for name in weights.keys()):  # noqa: SIM118
            yield folder
            return
    with TemporaryDirectory() as scratch:
        for path in folder.iterdir():
            if path != file:
                (Path(scratch) / path.name).symlink_to(path.resolve())
        save_file(
            {f"{family}.{key}": each for key, each in load_file(file).items()},
            Path(scratch) / _WEIGHTS,
        )
        yield Path(scratch)


def _add_segment(backbone: Any, file: Path) -> None:
    """Adds the first segment of a RoBERTa to its positions.

    KerasHub leaves it out: zero in the published model, not so after
    fine-tuning.
    """
    key = "roberta.embeddings.token_type_embeddings.weight"
    if not file.exists():
        return
    with safe_open(file, "numpy") as weights:
        if key in weights.keys():  # noqa: SIM118
            positions = backbone.embeddings.position_embedding
            positions.position_embeddings.assign_add(weights.get_tensor(key)[0])


def unreadable(argument: str, folder: Path, error: Exception) -> InputError:
    """Returns what to say when KerasHub cannot read a folder."""
    reason = " ".join(str(error).split())[:300].rstrip(".")
    return fail(
        f"`{argument}` must be a whole checkpoint of a family that KerasHub "
        "reads.",
        f"{argument}={str(folder)!r}: {type(error).__name__}: {reason}",
        "Copy all its files (weights as safetensors, config, tokenizer), or "
        "give a function from strings to embeddings.",
    )


def _sentence_settings(
    argument: str, folder: Path, given: dict[str, Any]
) -> dict[str, Any]:
    """Returns what the files of sentence-transformers say."""
    settings: dict[str, Any] = {}
    length = _json(folder / "sentence_bert_config.json")
    if length.get("max_seq_length"):
        settings["max_length"] = length["max_seq_length"]
    modules = _json(folder / "modules.json")
    if modules:
        kinds = [each["type"].rsplit(".", 1)[-1] for each in modules]
        others = {*kinds} - {"Transformer", "Pooling", "Normalize"}
        if others:
            raise fail(
                f"`{argument}` must be a sentence model of transformer, "
                "pooling and normalisation.",
                f"{argument}={str(folder)!r} with {', '.join(sorted(others))}",
            )
        settings["normalize"] = "Normalize" in kinds
    pooling = _json(folder / "1_Pooling" / "config.json")
    if pooling and "pooling" not in given:
        settings["pooling"] = _pooling(argument, folder, pooling)
    return settings


def _pooling(argument: str, folder: Path, config: dict[str, Any]) -> str:
    names = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "cls",
        "pooling_mode_lasttoken": "last",
    }
    if config.get("pooling_mode") in POOLINGS:  # of newer versions
        return config["pooling_mode"]
    chosen = [
        key
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value
    ]
    if len(chosen) != 1 or chosen[0] not in names:
        raise fail(
            f"`{argument}` must be pooled by mean, cls or last token.",
            f"{argument}={str(folder)!r} with {', '.join(chosen) or 'none'}",
            "Say which with `pooling`.",
        )
    return names[chosen[0]]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
