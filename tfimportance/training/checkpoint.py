"""A run that was broken off goes on at the epoch it had reached.

One file holds everything: the variables of the model (dropout seeds among
them) and of the optimizer, the best weights, the sample weights in use, and,
as JSON in its header, the history and the state of early stopping. It is
replaced whole after every epoch, so a kill at any time leaves a good one.
"""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from tfimportance._checks import Array, InputError, fail
from tfimportance._files import check_writable, staged_file
from tfimportance.training.batches import Batches
from tfimportance.training.callbacks import BestEpoch
from tfimportance.training.models import create_variables

_FILE = "training.safetensors"


class Checkpoint(keras.callbacks.Callback):
    """Writes the state of a run after every epoch, and takes it up again.

    It must be the last callback, so that the others have done their part.

    Attributes:
        history: The logs of all epochs so far, the resumed ones included.
        epochs: How many epochs are behind the run.
        stopped: Whether some callback had stopped the run.
    """

    def __init__(
        self,
        folder: Path,
        batches: Batches,
        best: BestEpoch | None,
        run: dict[str, Any],
    ) -> None:
        super().__init__()
        check_writable("checkpoint", folder)
        self.path = folder / _FILE
        self.batches, self.best = batches, best
        self.history: dict[str, list[float]] = {}
        self.epochs, self.stopped = 0, False
        self._run = {**run, "data": batches.fingerprint()}

    def resume(self, model: keras.Model) -> None:
        """Builds `model`, and takes over the state of an earlier run if any.

        Raises:
            InputError: The file is of another model, data or settings, or
                cannot be read.
        """
        create_variables(model, self.batches)
        self._run |= {
            "model": _describe(model),
            "optimizer": _settings(model.optimizer),
            "loss": [*map(_settings, keras.tree.flatten(model.loss))],
        }
        for stale in self.path.parent.glob(f".{self.path.stem}-*"):
            stale.unlink()  # of a run that was killed while writing
        if not self.path.exists():
            return
        state, arrays = self._read()
        self._check(state["run"])
        self.epochs, self.stopped = state["epochs"], state["stopped"]
        self.history = state["history"]
        for variable, value in zip(
            _variables(model), arrays["variable"], strict=True
        ):
            variable.assign(value)
        if self.batches.sample_weight is not None:
            self.batches.sample_weight = arrays["sample_weight"][0]
        if self.best is not None:
            self.best.resume(**state["best"], best_weights=arrays["best"])

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Called by Keras after all other callbacks."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        self.epochs, self.stopped = epoch + 1, bool(self.model.stop_training)
        arrays = {"variable": _values(_variables(self.model))}
        if self.batches.sample_weight is not None:
            arrays["sample_weight"] = [np.asarray(self.batches.sample_weight)]
        state: dict[str, Any] = {
            "run": self._run,
            "epochs": self.epochs,
            "stopped": self.stopped,
            "history": self.history,
        }
        if self.best is not None:
            arrays["best"] = self.best.best_weights
            state["best"] = {
                "wait": self.best.wait,
                "best": self.best.best,
                "best_epoch": self.best.best_epoch,
            }
        with staged_file(self.path) as path:
            save_file(_named(arrays), path, {"state": json.dumps(state)})

    def _read(self) -> tuple[dict[str, Any], dict[str, list[Array]]]:
        try:
            with safe_open(self.path, framework="np") as file:
                state = json.loads(file.metadata()["state"])
                arrays: dict[str, list[Array]] = {}
                for name in sorted(file.keys()):
                    value = file.get_tensor(name)
                    arrays.setdefault(name.split(".")[0], []).append(value)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise self._refusal(f"a file that is none: {error}") from error
        return state, arrays

    def _check(self, run: dict[str, Any]) -> None:
        names = {*run, *self._run}
        other = sorted(
            name for name in names if run.get(name) != self._run.get(name)
        )
        if other:
            raise self._refusal(f"another {' and '.join(other)}")

    def _refusal(self, what: str) -> InputError:
        return fail(
            "`checkpoint` must be a new folder or that of the same run, broken "
            "off.",
            f"checkpoint={str(self.path.parent)!r} with {what}",
            "Name another folder, or delete this one to start anew.",
        )


def _variables(model: keras.Model) -> list[Any]:
    """All that a step changes, in the order of creation; no metrics."""
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [each for each in model.variables if id(each) not in metrics]
    return own + list(model.optimizer.variables)


def _values(variables: list[Any]) -> list[Array]:
    return [keras.ops.convert_to_numpy(each) for each in variables]


def _named(arrays: dict[str, list[Array]]) -> dict[str, Array]:
    return {
        f"{kind}.{place:06d}": np.array(value, order="C")
        for kind, values in arrays.items()
        for place, value in enumerate(values)
    }


def _settings(part: Any) -> Any:
    """Returns what an optimizer or a loss is made with, names apart."""
    name = part if isinstance(part, str) else type(part).__name__
    if not hasattr(part, "get_config"):
        return getattr(part, "__name__", name)
    try:
        text = json.dumps(keras.saving.serialize_keras_object(part))
    except (NotImplementedError, TypeError):  # of the user's own schedule
        return name
    # Keras numbers names through, so another process has others.
    return json.loads(
        text,
        object_hook=lambda each: {
            key: value for key, value in each.items() if key != "name"
        },
    )


def _describe(model: keras.Model) -> list[Any]:
    """What must be the same for the variables to have the same meaning."""
    layers = model._flatten_layers(include_self=False)
    shapes = [f"{each.dtype}{each.shape}" for each in _variables(model)]
    policy = model.dtype_policy.name
    return [type(model).__name__, policy, *map(_made, layers), *shapes]


def _made(layer: keras.Layer) -> list[Any]:
    """Returns a layer's type and the words and numbers it is made with."""
    try:
        config = layer.get_config()
    except NotImplementedError:  # of the user's own
        config = {}
    plain = {
        key: value
        for key, value in config.items()
        # Keras numbers names through, so another process has others.
        if key != "name" and isinstance(value, (bool, int, float, str))
    }
    return [type(layer).__name__, plain]
