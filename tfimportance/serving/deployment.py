"""What starts the official server image on a model's folder."""

import json
from pathlib import Path

from tfimportance._files import staged_file

CONFIG, COMPOSE = "models.config", "compose.yaml"

_MODELS_CONFIG = """\
model_config_list {{
  config {{
    name: {name}
    base_path: {base}
    model_platform: "tensorflow"
  }}
}}
"""
_COMPOSE_YAML = """\
# docker compose up, in this folder: gRPC on port 8500, REST on port 8501.
# The server loads the highest version and changes over when a new one appears.
services:
  serving:
    image: tensorflow/serving
    command: [{config}]
    ports: ["8500:8500", "8501:8501"]
    volumes:
      - type: bind
        source: .
        target: {base}
        read_only: true
"""


def write_deployment(path: Path) -> None:
    """Writes `models.config` and `compose.yaml` into a model's folder.

    Those that are there already stay: somebody may have changed them.
    """
    name = path.absolute().name
    base = f"/models/{name}"
    texts = {
        CONFIG: _MODELS_CONFIG.format(name=_quoted(name), base=_quoted(base)),
        COMPOSE: _COMPOSE_YAML.format(
            config=_quoted(f"--model_config_file={base}/{CONFIG}"),
            base=_quoted(base),
        ),
    }
    for file, text in texts.items():
        if not (path / file).exists():
            with staged_file(path / file) as stage:
                stage.write_text(text, encoding="utf-8")


def _quoted(text: str) -> str:
    """Returns a string in the form of JSON, which YAML and protobuf share."""
    return json.dumps(text, ensure_ascii=False)
