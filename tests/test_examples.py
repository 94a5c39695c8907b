"""Every bundled example runs as it is, but for the length of its training."""

import pytest

from tfimportance import RunConfig, load_served, run
from tfimportance.config import EXAMPLES

NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_example_ends_in_a_report_and_a_model(name, tmp_path):
    folders = [f"output={tmp_path}/runs", f"saved_models={tmp_path}/models"]
    config = RunConfig.load(name, ["seeds=1", "epochs=2", *folders])
    result = run(config)
    assert result.report.exists()
    for figures in result.metrics["strategies"].values():
        assert 0.5 < figures["test"]["roc_auc"] < 1
    asked = {column: ["red dress", ""] for column in config.text}
    probability = load_served(result.model).ask("serving_default", **asked)
    assert probability["probability"].shape == (2,)
