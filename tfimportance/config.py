"""What a run is asked to do: one flat record, from YAML or Python."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from tfimportance._checks import (
    InputError,
    check_count,
    check_file,
    check_number,
    fail,
)

EXAMPLES = Path(__file__).parent / "examples"
_SCORES = (
    *("mode", "reference", "reduction", "scale", "clip", "center"),
    *("effective_fraction", "within_label"),
)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The settings of one run; `RunConfig.load` reads them from YAML.

    Attributes:
        name: Name of the run folder and of the served model.
        pool: The training data: a file (Parquet, CSV, TSV, JSON lines) or
            `dataset:<name>` for a bundled set.
        text: The text columns.
        label: The label column.
        target: The traffic that counts: another file of the same columns;
            `{column: value}` for the rows of `pool` with that value, or with
            any of a list of values; or a share of the rows (of the groups) of
            `pool`, in (0, 1), drawn at random. What is target is taken out of
            the pool.
        target_label: The column of the target's labels, where they are
            trusted more than those in `label`, which all rows have.
        test: A file of target rows to report on; by default the target rows
            that remain.
        positive: The label values that count as 1, where they are not 0/1.
        group: A column, such as the query, whose rows stay together; pool rows
            of a group that validates or tests are left out.
        id: A column of unique row ids, carried into `weights.parquet`; pool
            rows with id and text of a target or test row are left out.
        fields: How several text columns become one embedding; see `encode`.
        encoder: `static`, a checkpoint's folder or handle, or a mapping of the
            arguments of `load_encoder`, such as `{source: e5-small, prefixes:
            ["query: ", "passage: "]}`.
        target_rows: Labelled target rows that the importance compares with; by
            default 300, or of fewer than 900 a third (a half with `test`).
        validation_rows: Further target rows that stop the training and choose
            the better model; by default as many.
        strategy: What the importance weights are: `auto` (see
            `choose_weights`), another of `STRATEGIES`, or `scores`, made of
            the eight settings that follow `compare`. `auto:repeat` and the
            like add an allocation; see `fit`.
        compare: Further strategies to train and to report on, likewise.
        mode: `label_signed`, `similarity` or `auto`; see `importance_scores`.
        reference: `target`, `pool`, `both` or `auto`; see `importance_scores`.
        reduction: How similarities become one score; see `importance_scores`.
        scale: Factor before sinh; 4 to 8 is useful for unit embeddings.
        clip: Bound of the argument of sinh.
        center: Subtract the mean of the pool's embeddings; see
            `importance_scores`.
        effective_fraction: Share of the rows that the weighted data is worth,
            in (0, 1]; see `to_sample_weight`.
        within_label: Temper within each class, so that the class mix stays.
        seeds: Trainings per strategy.
        seed: First seed, also of the splits.
        epochs: The most epochs of a training.
        batch_size: Rows per step.
        patience: Epochs to wait for a better AUC.
        intended_use: For the model card: what the model is for; by default
            said from `label`, `text` and `target`.
        licence: For the model card: on what terms the model may be used.
        output: Folder of the run folders.
        saved_models: Folder of the served models.
    """

    name: str
    pool: str
    text: tuple[str, ...]
    label: str
    target: str | Mapping[str, Any] | float
    target_label: str | None = None
    test: str | None = None
    positive: Any = None
    group: str | None = None
    id: str | None = None
    fields: str = "auto"
    encoder: str | Mapping[str, Any] = "static"
    target_rows: int | None = None
    validation_rows: int | None = None
    strategy: str = "auto"
    compare: tuple[str, ...] = ()
    mode: str = "auto"
    reference: str = "auto"
    reduction: str = "mean"
    scale: float = 4.0
    clip: float = 20.0
    center: bool = True
    effective_fraction: float = 0.85
    within_label: bool = False
    seeds: int = 5
    seed: int = 0
    epochs: int = 20
    batch_size: int = 256
    patience: int = 3
    intended_use: str | None = None
    licence: str | None = None
    output: str = "runs"
    saved_models: str = "saved_models"

    def __post_init__(self) -> None:
        self._check_texts()
        if Path(self.name).name != self.name or self.name[:1] in ("", "."):
            raise fail(
                "`name` must be a plain folder name.", f"name={self.name!r}"
            )
        if isinstance(self.target, int | float):
            check_number("target", self.target, above=0, at_most=1)
        elif not isinstance(self.target, str | Mapping) or not self.target:
            raise fail(
                "`target` must be a file, {column: value} or a share.",
                f"target={self.target!r}",
            )
        for name in ("target_rows", "validation_rows"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), at_least=2)
        for name in ("seeds", "epochs", "batch_size", "patience"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, at_least=0)
        check_number(
            "effective_fraction", self.effective_fraction, above=0, at_most=1
        )
        self._check_scores()

    def _check_texts(self) -> None:
        """Raises for names that are none; one alone is one of several."""
        for name in ("text", "compare"):
            value = getattr(self, name)
            several = (value,) if isinstance(value, str) else value
            is_list = isinstance(several, list | tuple)
            if not is_list or not all(isinstance(x, str) for x in several):
                raise fail(
                    f"`{name}` must be a text or a list of texts.",
                    f"{name}={value!r}",
                )
            object.__setattr__(self, name, tuple(several))
        if not self.text:
            raise fail("`text` must name one or more columns.", "text=[]")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in (str, str | None) and not isinstance(
                value,
                field.type,  # type: ignore[arg-type]
            ):
                raise fail(
                    f"`{field.name}` must be a text.",
                    f"{field.name}={value!r}",
                    "Set it in quotation marks.",
                )

    def _check_scores(self) -> None:
        """Raises for settings of the scores that would have no effect."""
        trained = (self.strategy, *self.compare)
        if "scores" in {str(name).partition(":")[0] for name in trained}:
            return
        default = {field.name: field.default for field in fields(self)}
        for name in _SCORES:
            value = getattr(self, name)
            if value != default[name]:
                raise fail(
                    f"`{name}` must be left out with "
                    f"strategy={self.strategy!r}, which does not use it.",
                    f"{name}={value!r}",
                    "Set `strategy: scores`.",
                )

    @classmethod
    def load(
        cls, source: str | Path, overrides: Sequence[str] = (), **settings: Any
    ) -> "RunConfig":
        """Returns the configuration in a YAML file.

        Args:
            source: A YAML file, or the name of a bundled example (`reviews`).
            overrides: `key=value` strings, the value in YAML.
            **settings: Settings that take the place of those in the file.

        Raises:
            FileNotFoundError: There is neither such a file nor such an
                example.
            InputError: The file is no mapping of known keys to valid values.
        """
        path = Path(source)
        if not path.is_file() and (EXAMPLES / f"{source}.yaml").exists():
            path = EXAMPLES / f"{source}.yaml"
        check_file("config", path)
        return cls.with_overrides({**_read(path), **settings}, overrides)

    @classmethod
    def with_overrides(
        cls, settings: Mapping[str, Any], overrides: Sequence[str]
    ) -> "RunConfig":
        """Returns the configuration of a mapping, then of `key=value`."""
        return cls.from_dict({**settings, **_overrides(overrides)})

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "RunConfig":
        """Returns the configuration that a mapping holds; checks its keys."""
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                raise fail(
                    f"`{key}` is no setting.",
                    f"{key}={settings[key]!r}",
                    f"Did you mean `{near[0]}`?" if near else "",
                )
        missing = [
            name
            for name in ("name", "pool", "text", "label", "target")
            if settings.get(name) is None
        ]
        if missing:
            raise fail(
                f"`{missing[0]}` must be set.",
                f"settings {', '.join(settings) or 'none'}",
            )
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as plain values for YAML and JSON."""
        return {
            **asdict(self),
            "text": list(self.text),
            "compare": list(self.compare),
        }


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"`config` must be a YAML file. Received: {str(path)!r}: {reason}"
        ) from error
    if not isinstance(settings, dict):
        raise fail(
            "`config` must be a mapping of settings to values.",
            f"{str(path)!r} with {type(settings).__name__}",
        )
    return settings


def _overrides(pairs: Sequence[str]) -> dict[str, Any]:
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise fail("`--set` must be key=value.", f"--set {pair!r}")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise fail(
                "`--set` must be key=value, the value in YAML.",
                f"--set {pair!r}",
                "Set texts with brackets or colons in quotation marks.",
            ) from error
    return settings
