"""Checkpoints by their handle on a hub, as folders on this machine."""

from pathlib import Path

from tfimportance._checks import fail

_SCHEMES = ("hf://", "kaggle://")

# Of a repository with several copies of the weights, those that are read.
_FILES = [
    "*.json",
    "*.txt",
    "*.model",
    "*.safetensors",
    "*.weights.h5",
    "*.spm",
]


def is_handle(source: str) -> bool:
    """Whether `source` names a hub: `hf://...`, `kaggle://...`, a preset."""
    return source.startswith(_SCHEMES) or source in _presets()


def download(source: str) -> Path:
    """Returns the folder of a handle, downloaded unless it was before.

    This is the only place of the package that uses the network.

    Raises:
        InputError: The hub cannot be reached or refuses.
    """
    handle = _presets().get(source, source)
    try:
        if handle.startswith("hf://"):
            import huggingface_hub

            return Path(
                huggingface_hub.snapshot_download(
                    handle.removeprefix("hf://"), allow_patterns=_FILES
                )
            )
        import kagglehub

        return Path(kagglehub.model_download(handle.removeprefix("kaggle://")))
    except Exception as error:  # the hubs' clients have a dozen, not related
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise fail(
            "`source` must be a checkpoint that can be downloaded.",
            f"source={source!r}: {type(error).__name__}: {reason}",
            "Check the name, the network and, for gated models, the terms and "
            "your token (HF_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY); or "
            "download the folder elsewhere, copy it here and name the folder.",
        ) from error


def _presets() -> dict[str, str]:
    """Preset name to handle, for all backbones that KerasHub knows."""
    import keras_hub

    presets = keras_hub.models.Backbone.presets
    return {name: each["kaggle_handle"] for name, each in presets.items()}
