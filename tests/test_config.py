import pytest
import yaml

from tfimportance import InputError, RunConfig
from tfimportance.config import EXAMPLES

SETTINGS = {
    "name": "toy",
    "pool": "pool.csv",
    "text": ["title", "body"],
    "label": "bought",
    "target": "target.csv",
}


def test_yaml_and_overrides(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(SETTINGS))
    config = RunConfig.load(path, ["seeds=2", "target={shop: de}", "text=body"])
    assert (config.seeds, config.target) == (2, {"shop": "de"})
    assert config.text == ("body",)


def test_one_strategy_to_compare_may_stand_alone():
    config = RunConfig.from_dict({**SETTINGS, "compare": "similarity"})
    assert config.compare == ("similarity",)


def test_scores_may_stand_beside_other_weights():
    change = {"compare": ["scores:top_k"], "scale": 6.5}
    assert RunConfig.from_dict({**SETTINGS, **change}).strategy == "auto"


def test_round_trip_through_plain_values():
    config = RunConfig.from_dict(
        {
            **SETTINGS,
            "strategy": "scores",
            "compare": ["similarity", "auto:top_k"],
            "scale": 6.5,
            "seeds": 3,
        }
    )
    plain = yaml.safe_load(yaml.safe_dump(config.to_dict()))
    assert RunConfig.from_dict(plain) == config


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=str)
def test_bundled_examples_load_by_name(path):
    assert RunConfig.load(path.stem) == RunConfig.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sedes": 3}, "`sedes` is no setting.*Did you mean `seeds`"),
        ({"label": None}, "`label` must be set"),
        ({"name": "a/b"}, "`name` must be a plain folder name"),
        ({"name": ".."}, "`name` must be a plain folder name"),
        ({"name": ""}, "`name` must be a plain folder name"),
        ({"name": 2024}, "`name` must be a text"),
        ({"text": 5}, "`text` must be a text or a list"),
        ({"text": []}, "`text` must name one or more columns"),
        ({"text": ["title", 5]}, "`text` must be a text or a list"),
        ({"compare": 5}, "`compare` must be a text or a list"),
        ({"group": ["shop", "day"]}, "`group` must be a text"),
        ({"target": 3}, "`target`"),
        ({"target": 0}, "`target`"),
        ({"target": ["a", "b"]}, "`target`"),
        ({"target": {}}, "`target`"),
        ({"seeds": 0}, "`seeds`"),
        ({"seeds": True}, "`seeds`"),
        ({"epochs": 2.5}, "`epochs`"),
        ({"effective_fraction": 1.1}, "`effective_fraction`"),
        ({"target_rows": 1}, "`target_rows`"),
        ({"scale": 6.5}, "`scale` must be left out.*`strategy: scores`"),
        (
            {"strategy": "auto:top_k", "effective_fraction": 0.5},
            "`effective_fraction` must be left out",
        ),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(InputError, match=message):
        RunConfig.from_dict({**SETTINGS, **change})


@pytest.mark.parametrize("text", ["- a list", "a: [", "", "just words"])
def test_a_file_that_is_no_mapping(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="`config` must be a") as error:
        RunConfig.load(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_bad_override():
    with pytest.raises(FileNotFoundError, match="`config`"):
        RunConfig.load("nowhere.yaml")
    with pytest.raises(InputError, match="key=value"):
        RunConfig.load("reviews", ["seeds"])
    with pytest.raises(InputError, match="value in YAML") as e:
        RunConfig.load("reviews", ["text=[a"])
    assert "\n" not in str(e.value)


def test_a_folder_of_the_same_name_does_not_hide_an_example(
    tmp_path, monkeypatch
):
    (tmp_path / "reviews").mkdir()
    monkeypatch.chdir(tmp_path)
    assert RunConfig.load("reviews").label == "recommended"
