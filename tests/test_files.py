import json
import os
from pathlib import Path

import numpy as np
import pytest

from tfimportance import InputError
from tfimportance._files import (
    check_writable,
    staged_file,
    staged_folder,
    write_json,
)


def half_write(staged):
    with staged as stage:
        path = stage / "done" if stage.is_dir() else stage
        path.write_text("half")
        raise ZeroDivisionError


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "weights.parquet"
    with staged_file(path) as stage:
        stage.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert listing(path.parent) == ["weights.parquet"]


def test_a_failed_file_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        half_write(staged_file(path))
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "run"
    for content in ("first", "second"):
        with staged_folder(folder, "done") as stage:
            (stage / "done").write_text(content)
            (stage / content).touch()
    assert listing(folder) == ["done", "second"]
    assert listing(tmp_path) == ["run"]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    folder = tmp_path / "run"
    with staged_folder(folder, "done") as stage:
        (stage / "done").write_text("first")
    with pytest.raises(ZeroDivisionError):
        half_write(staged_folder(folder, "done"))
    assert (folder / "done").read_text() == "first"
    assert listing(tmp_path) == ["run"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with staged_folder(folder, "done") as stage:
        (stage / "done").write_text("old")
    replace = os.replace

    def fail_on_new(source, place):
        if Path(source).name == "new":
            raise OSError("the disk is full")
        replace(source, place)

    monkeypatch.setattr(os, "replace", fail_on_new)
    with (
        pytest.raises(OSError, match="full"),
        staged_folder(folder, "done") as stage,
    ):
        (stage / "done").write_text("new")
    assert (folder / "done").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_folder_of_somebody_elses_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(InputError, match="holds other files"),
        staged_folder(tmp_path, "done"),
    ):
        pass
    assert listing(tmp_path) == ["thesis.tex"]


def test_check_writable(tmp_path):
    check_writable("output", tmp_path / "not" / "yet")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"`output`.*is a file"):
        check_writable("output", tmp_path / "file" / "below")
    if os.geteuid():  # root may write anywhere
        with pytest.raises(InputError, match="not writable"):
            check_writable("output", Path("/proc/x"))


def test_json_is_what_every_reader_takes(tmp_path):
    path = tmp_path / "facts.json"
    value = {
        "share": np.float32(0.5),
        "rows": np.array([1, 2]),
        "deep": [{"auc": float("nan")}, (np.inf, True, None)],
        3: Path("a/ü"),
    }
    write_json(path, value)

    def refuse(name):
        raise AssertionError(name)

    text = path.read_text(encoding="utf-8")
    assert "ü" in text
    assert json.loads(text, parse_constant=refuse) == {
        "share": 0.5,
        "rows": [1, 2],
        "deep": [{"auc": None}, [None, True, None]],
        "3": "a/ü",
    }
