import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from tfimportance import (
    Examples,
    InputError,
    RunConfig,
    datasets,
    pipeline,
)
from tfimportance.cli import _COMMANDS, main
from tfimportance.stages import read_weights

COLUMNS = ["--text", "title", "review", "--label", "recommended", "--id", "id"]
DATA = [*COLUMNS, "--fields", "join"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    rows = datasets.load("womens_clothing_reviews")
    target = rows[rows.department == "Intimate"]
    rows[rows.department == "Tops"][:800].to_parquet(folder / "train.parquet")
    target[:200].to_csv(folder / "target.csv", index=False)
    target[200:600].to_json(folder / "test.jsonl", orient="records", lines=True)
    return folder


def call(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_from_files_to_a_served_model(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    pool = ["train.parquet", "target.csv"]
    code, out, _ = call(
        capsys, "score", *pool, *DATA, "--output", "weights.parquet"
    )
    assert code == 0
    assert "800 rows worth 680" in out
    frame = pd.read_parquet("weights.parquet")
    train = pd.read_parquet("train.parquet")
    assert frame.id.tolist() == train.id.tolist()

    shuffled = frame.sample(frac=1, random_state=0)  # matched by id
    shuffled.to_parquet("shuffled.parquet")
    aucs = []
    for weights in ("weights", "shuffled"):
        code, out, _ = call(
            capsys,
            *("fit", "train.parquet", "--validation", "target.csv", *DATA),
            *("--weights", f"{weights}.parquet", "--epochs", "2"),
            *("--output", weights),
        )
        assert code == 0
        aucs.append(out.split("AUC ")[1])
    assert aucs[0] == aucs[1]

    code, out, _ = call(
        capsys, "evaluate", "weights", "test.jsonl", "--label", "recommended"
    )
    figures = json.loads(out)
    assert code == 0
    assert figures["rows"] == 400
    lower, upper = figures["roc_auc_interval"]
    assert 0.5 < lower < figures["roc_auc"] < upper

    code, out, _ = call(capsys, "export", "weights", "served")
    assert (code, out.strip()) == (0, os.path.join("served", "1"))


def test_uniform_fit_differs_from_weighted(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    code, out, _ = call(
        capsys,
        *("fit", "train.parquet", "--validation", "target.csv", *DATA),
        *("--epochs", "1", "--output", "uniform"),
    )
    assert code == 0
    assert 0.5 < float(out.split("AUC ")[1].split()[0]) < 1


def test_datasets_lists_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(capsys, "datasets")
    assert code == 0
    for name in datasets.names():
        assert name in out
    code, _, _ = call(capsys, "datasets", "esci_sample")
    assert code == 0
    assert len(pd.read_parquet("esci_sample.parquet")) == 2670


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "none.csv", "target.csv", *DATA], "none.csv"),
        (["score", "train.parquet", "none.csv", *DATA], "none.csv"),
        (
            ["score", "train.parquet", "target.csv", "--text", "revue"],
            "review",
        ),
        (
            ["score", "train.parquet", "target.csv", *DATA, "--scale", "0"],
            "`scale`",
        ),
        (
            [
                *("score", "train.parquet", "target.csv", *DATA),
                *("--effective-fraction", "2"),
            ],
            "effective_fraction=2.0",
        ),
        *(
            (
                [
                    *("score", "train.parquet", "target.csv", *DATA),
                    *("--strategy", strategy),
                ],
                f"strategy={strategy!r}, which trains {how}",
            )
            for strategy, how in (
                ("target_only", "other rows"),
                ("random_half", "by the allocation 'top_k'"),
                ("auto:repeat", "by the allocation 'repeat'"),
            )
        ),
        (
            ["fit", "target.csv", "--validation", "./target.csv", *DATA],
            "`validation` must hold rows that are not trained on",
        ),
        (
            ["score", "train.parquet", "target.csv", *DATA, "--group", "age"],
            "`group` must be left out with strategy='scores'",
        ),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    files, capsys, monkeypatch, arguments, words
):
    monkeypatch.chdir(files)
    code, out, err = call(capsys, *arguments, "--output", "never.parquet")
    assert (code, out) == (2, "")
    assert err.startswith("tfimportance: error: ")
    assert err.count("\n") == 1
    assert words in err
    assert not (files / "never.parquet").exists()


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        ("score none.csv none.csv --text a", ".parquet"),
        ("encode none.csv --text a", ".parquet"),
        ("datasets chorus_electronics", ".parquet"),
        ("review none.csv none.csv --text a --label b", ".csv"),
        ("predict none none.csv", ".parquet"),
    ],
)
def test_an_output_of_another_kind_is_refused_before_any_work(
    tmp_path, capsys, monkeypatch, command, ending
):
    monkeypatch.chdir(tmp_path)
    other = {".parquet": "w.tsv", ".csv": "w.parquet"}[ending]
    (tmp_path / f"folder{ending}").mkdir()
    for output, words in (
        (other, f"`output` must end in {ending}"),
        (f"folder{ending}", "which is a folder"),
    ):
        code, _, err = call(capsys, *command.split(), "--output", output)
        assert code == 2
        assert words in err
        assert f"output={output!r}" in err
    assert [path.name for path in tmp_path.iterdir()] == [f"folder{ending}"]


def test_weights_of_other_rows_are_refused(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    pd.DataFrame({"id": [1, 2], "sample_weight": [1.0, 1.0]}).to_parquet("w")
    train = pd.read_parquet("train.parquet")
    repeated = train[["id"]].assign(sample_weight=1.0)
    repeated.iloc[1] = repeated.iloc[0]
    repeated.to_parquet("repeated")
    repeated.to_csv("w.csv")
    for weights, words in (
        ("repeated", "`weights` must hold exactly the rows"),
        ("w.csv", "`weights` must be a Parquet file"),
    ):
        code, _, err = call(
            capsys,
            *("fit", "train.parquet", "--validation", "target.csv", *DATA),
            *("--weights", weights, "--output", "never"),
        )
        assert code == 2
        assert words in err
    code, _, err = call(
        capsys,
        *("fit", "train.parquet", "--validation", "target.csv", *DATA),
        *("--weights", "w", "--output", "never"),
    )
    assert code == 2
    assert "`weights` must hold exactly the rows" in err
    assert not (files / "never").exists()


def test_weights_in_another_order_are_refused(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    train = pd.read_parquet("train.parquet")
    frame = train[["id"]].assign(label=train.recommended, sample_weight=1.0)
    frame["id"] = np.arange(800)
    reversed_ = frame.assign(label=frame.label.to_numpy()[::-1])
    reversed_.to_parquet("reversed.parquet")
    code, _, err = call(
        capsys,
        *("fit", "train.parquet", "--validation", "target.csv", *DATA[:5]),
        *("--weights", "reversed.parquet", "--output", "never"),
    )
    assert code == 2
    labels = train.recommended.to_numpy()
    wrong = (labels != labels[::-1]).sum()
    assert f"another label in {wrong} of 800 rows" in err
    assert "The rows are in another order: score and fit with --id." in err
    assert not (files / "never").exists()


@pytest.mark.parametrize("texts", [(True, False), (False, True)], ids=str)
def test_weights_find_ids_of_another_type(tmp_path, texts):
    ids, path = np.array([30, 7, 100]), tmp_path / "w.parquet"
    own, given = (
        ids.astype(str).astype(object) if is_text else ids for is_text in texts
    )
    frame = pd.DataFrame({"id": given, "sample_weight": [3.0, 0.7, 10.0]})
    frame.assign(label=[1, 0, 1]).to_parquet(path)
    order = [2, 0, 1]
    rows = Examples(
        text={"q": np.array(["a", "b", "c"], object)},
        id=own[order],
        label=np.float32([1, 1, 0]),
    )
    assert read_weights(path, rows).tolist() == [10.0, 3.0, 0.7]
    other = replace(rows, label=np.float32([1, 0, 0]))
    with pytest.raises(InputError, match=r"1 of 3 rows .*is 1\).*--positive"):
        read_weights(path, other)
    zeros = replace(rows, id=np.array(["100", "30", "007"], object))
    with pytest.raises(InputError, match="exactly the rows"):
        read_weights(path, zeros)


def test_positive_values_make_labels(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    datasets.load("esci_sample").to_parquet("esci.parquet")
    code, _, _ = call(
        capsys,
        *("score", "esci.parquet", "esci.parquet", "--text", "query"),
        *("title", "--label", "esci_label", "--positive", "exact"),
        *("--output", "weights.parquet"),
    )
    assert code == 0
    assert pd.read_parquet("weights.parquet").label.sum() == 1547


@pytest.mark.parametrize("command", [None, *_COMMANDS])
def test_help_names_an_example(command, capsys):
    arguments = ["--help"] if command is None else [command, "--help"]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"tfimportance {command}" in out if command else "exit codes" in out


def test_unknown_command_is_code_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["scroe"])
    assert stop.value.code == 2


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_do_not_wait_for_tensorflow(flag):
    code = (
        "import sys; from tfimportance.cli import main\n"
        f"try: main(['{flag}'])\nexcept SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'pyarrow'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_package_does_not_import_tensorflow():
    code = (
        "import sys, tfimportance\n"
        "sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def as_program(folder, before, *arguments):
    """Runs the command line in its own process, after these lines."""
    code = f"import sys\nfrom tfimportance.cli import main\n{before}"
    return subprocess.run(
        [sys.executable, "-c", f"{code}\nsys.exit(main())", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_sigterm_leaves_nothing_half_written(tmp_path):
    killed = """
import os, signal
import pandas as pd
def write(self, path, **_):
    path.write_text("half")
    print(os.listdir(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
pd.DataFrame.to_parquet = write
"""
    done = as_program(tmp_path, killed, "datasets", "esci_sample")
    assert ".esci_sample-" in done.stdout
    assert (done.returncode, done.stderr) == (143, "")
    assert not list(tmp_path.iterdir())


def test_a_warning_is_one_line(tmp_path):
    warned = """
import warnings
from tfimportance import datasets
def catalog():
    warnings.warn("this\\nis odd")
    yield from ()
datasets.CATALOG = catalog()
"""
    done = as_program(tmp_path, warned, "datasets")
    assert (done.returncode, done.stderr) == (0, "warning: this is odd\n")


def test_weights_follow_position_without_ids(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    code, _, _ = call(
        capsys,
        *("score", "train.parquet", "target.csv", "--text", "review"),
        *("--label", "recommended", "--output", "by_position.parquet"),
    )
    assert code == 0
    frame = pd.read_parquet("by_position.parquet")
    assert np.array_equal(frame.id, np.arange(800))


def test_fit_leaves_out_the_groups_that_validate(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    frame = pd.read_parquet("train.parquet")
    frame["query"] = np.arange(800) // 8
    frame.to_csv("queries.csv", index=False)
    frame[frame["query"] >= 40].to_csv("others.csv", index=False)
    target = pd.read_csv("target.csv")
    target["query"] = np.arange(200) // 5
    target.to_parquet("target_queries.parquet")
    rng = np.random.default_rng(0)
    frame = frame[["id"]].astype(str)  # as in a CSV file
    frame["sample_weight"] = rng.random(800) + 0.5
    frame.to_parquet("all_weights.parquet")
    frame[320:].to_parquet("other_weights.parquet")
    said = []
    for train, weights, group in (
        ("queries", "all_weights", ["--group", "query"]),
        ("others", "other_weights", []),
        ("queries", "all_weights", []),
    ):
        code, out, _ = call(
            capsys,
            *("fit", f"{train}.csv", "--validation", "target_queries.parquet"),
            *("--weights", f"{weights}.parquet", *DATA, *group),
            *("--epochs", "1", "--output", "grouped"),
        )
        assert code == 0
        said.append(out)
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_group_is_offered_where_it_acts(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    acts = command in ("compare", "evaluate", "fit", "review", "score")
    assert ("--group" in capsys.readouterr().out) == acts


SMALL = [
    *("--set", "target_rows=60", "--set", "validation_rows=60"),
    *("--set", "seeds=1", "--set", "epochs=2"),
]


def table_of(out):
    """The printed table, by name of the strategy."""
    heading, *lines = out[: out.index("Of ")].splitlines()
    names = heading.split("  ")
    return [name.strip() for name in names if name.strip()], {
        line.split()[0]: line.split()[1:] for line in lines
    }


def test_compare_files_and_say_what_differs(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    code, out, _ = call(
        capsys,
        *("compare", "train.parquet", "--target", "target.csv", *DATA),
        *("--strategies", "target_only", "label_signed:top_k", *SMALL),
        *("--name", "both"),
    )
    assert code == 0
    columns, rows = table_of(out)
    assert columns[:6] == [
        *("AUC", "difference", "from", "to", "p (Holm)", "PR AUC"),
    ]
    names = ["uniform", "importance", "target_only", "label_signed:top_k"]
    frame = pd.read_csv("runs/both/comparison.csv").set_index("strategy")
    assert frame.index.tolist() == names
    assert [name for name in rows if name != "strategy"] == names
    for name in names:
        assert float(rows[name][0]) == round(frame.roc_auc[name], 4)
    assert float(rows["target_only"][1]) == (
        round(frame.difference["target_only"], 4)
    )
    assert "nan" not in out.lower()
    assert "Of 3 strategies, better than uniform weights:" in out
    chosen = out.partition("exported: ")[2].split()[0]
    assert chosen in names
    metrics = json.loads((files / "runs/both/metrics.json").read_text())
    assert metrics["comparison"]["chosen"] == chosen
    assert metrics["config"]["pool"] == "train.parquet"
    assert os.path.join("saved_models", "both", "1") in out


def test_compare_a_configuration(files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    settings = {
        "name": "configured",
        "pool": "train.parquet",
        "target": "target.csv",
        "text": ["title", "review"],
        "label": "recommended",
        "strategy": "scores",
        "compare": ["similarity"],
        "target_rows": 60,
        "validation_rows": 60,
        "seeds": 1,
        "epochs": 5,
    }
    (files / "configured.yaml").write_text(yaml.safe_dump(settings))
    code, out, _ = call(
        capsys, "compare", "configured.yaml", "--set", "epochs=1"
    )
    assert code == 0
    _, rows = table_of(out)
    assert list(rows)[-3:] == ["uniform", "importance", "similarity"]
    assert "Of 2 strategies" in out
    metrics = json.loads((files / "runs/configured/metrics.json").read_text())
    assert metrics["config"]["epochs"] == 1


@pytest.fixture
def asked(monkeypatch):
    """Calls `compare` and returns the configuration that would be run."""
    asked = []

    def refuse(config):
        asked.append(config)
        raise InputError("enough")

    monkeypatch.setattr(pipeline, "run", refuse)

    def ask(*arguments):
        assert main(["compare", *arguments]) == 2
        return asked.pop()

    return ask


def test_options_of_compare_stand_before_the_file(asked):
    assert replace(asked("reviews"), compare=()) == RunConfig.load("reviews")
    config = asked(
        *("reviews", "--name", "mine", "--encoder", "X", "--fields", "mean"),
        *("--text", "review", "--group", "id", "--set", "encoder=Y"),
        *("--strategies", "scores", "--set", "scale=6"),
    )
    assert config == replace(
        RunConfig.load("reviews"),
        name="mine",
        encoder="Y",
        fields="mean",
        text=("review",),
        group="id",
        compare=("scores",),
        scale=6,
    )


def test_compare_trains_auto_beside_another_strategy(asked):
    assert "auto" not in asked("reviews").compare
    assert "auto" in asked("reviews", "--set", "strategy=scores").compare
    similar = asked("reviews", "--set", "strategy=similarity").compare
    assert "auto" in similar
    assert "similarity" not in similar  # it is `importance` already


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--strategies", "similarty"], "Did you mean 'similarity'"),
        (["--set", "sedes=1"], "Did you mean `seeds`"),
        (["--set", "target_rows=5000"], "Lower `target_rows`"),
    ],
)
def test_compare_names_what_is_wrong(
    files, capsys, monkeypatch, arguments, words
):
    monkeypatch.chdir(files)
    code, out, err = call(
        capsys,
        *("compare", "train.parquet", "--target", "target.csv", *DATA),
        *("--name", "never", *arguments),
    )
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not (files / "runs" / "never").exists()
