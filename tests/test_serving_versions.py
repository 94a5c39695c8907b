import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from served import (
    TEXTS,
    HashEncoder,
    ask,
    dense,
    embedded,
    listing,
    probability,
)

from tfimportance import InputError, export, load_served
from tfimportance.serving import publishing


@pytest.fixture(scope="module")
def encoder():
    return HashEncoder()


@pytest.fixture(scope="module")
def model():
    return dense()


def versions_in(path):
    """Everything there, but for what starts a server."""
    names = {p.name for p in path.iterdir()}
    return sorted(names - {"models.config", "compose.yaml"})


def test_the_next_integer_is_taken(encoder, model, tmp_path):
    path = tmp_path / "saved_models" / "reviews"
    assert export(model, encoder, path) == path / "1"
    for name in ("9", "10", "12x", "notes", ".export-old", "-40", "²", "3.5"):
        (path / name).mkdir()
    assert export(model, encoder, str(path)) == path / "11"
    assert ask(path / "11", text=["bed"]).shape == (1,)
    assert {p.name for p in path.iterdir()} == {
        *("1", "9", "10", "11", "12x", "models.config", "compose.yaml"),
        *("notes", ".export-old", "-40", "²", "3.5"),
    }


def test_the_highest_version_may_have_leading_zeros(encoder, model, tmp_path):
    export(model, encoder, tmp_path).rename(tmp_path / "007")
    (tmp_path / "9").write_text("no folder")
    assert load_served(tmp_path).folder == tmp_path / "007"
    assert export(model, encoder, tmp_path) == tmp_path / "8"
    assert export(model, encoder, tmp_path) == tmp_path / "10"


def test_a_relative_path(encoder, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export(model, encoder, "models") == Path("models/1")
    assert listing(tmp_path)[:2] == ["models", "models/1"]


def test_others_may_read_it(encoder, model, tmp_path):
    """The private staging folder must not hand on its permissions."""
    (tmp_path / "plain").mkdir()
    version = export(model, encoder, tmp_path)
    assert version.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_server_never_sees_half_a_model(
    encoder, model, tmp_path, monkeypatch
):
    real, seen = tf.saved_model.save, []

    def save(*args, **kwargs):
        real(*args, **kwargs)
        seen.extend(p.name for p in tmp_path.iterdir())

    monkeypatch.setattr(tf.saved_model, "save", save)
    export(model, encoder, tmp_path)
    assert len(seen) == 1
    assert seen[0].startswith(".export-")
    assert versions_in(tmp_path) == ["1"]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_export_leaves_nothing(
    encoder, model, tmp_path, monkeypatch, error, there
):
    path = tmp_path / "saved_models" / "reviews"
    if there:
        (path / "3").mkdir(parents=True)
    before = listing(tmp_path)

    def save(module, folder, **_):
        (Path(folder) / "variables").mkdir(parents=True)
        (Path(folder) / "variables" / "half").write_bytes(b"half")
        raise error

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(type(error)):
        export(model, encoder, path)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("below", ["", "reviews", "a/b"])
def test_a_path_that_cannot_be_written(encoder, model, tmp_path, below):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="`path` must be a folder") as error:
        export(model, encoder, tmp_path / "file" / below)
    assert "\n" not in str(error.value)
    assert listing(tmp_path) == ["file"]


def test_a_version_that_appears_meanwhile(
    encoder, model, tmp_path, monkeypatch
):
    (tmp_path / "1" / "theirs").mkdir(parents=True)
    real, stale = publishing.versions, iter([[]])
    monkeypatch.setattr(publishing, "versions", lambda p: next(stale, real(p)))
    assert export(model, encoder, tmp_path) == tmp_path / "2"
    assert listing(tmp_path / "1") == ["theirs"]


def run_together(jobs):
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_publish_at_once(tmp_path):
    path, published = tmp_path / "models", []

    def publish(author):
        for number in range(25):
            folder = tmp_path / f"{author}-{number}"
            folder.mkdir()
            (folder / "author").write_text(folder.name)
            published.append((publishing.publish(folder, path), folder.name))

    run_together([lambda author=a: publish(author) for a in range(8)])
    assert sorted(int(v.name) for v, _ in published) == list(range(1, 201))
    assert all((v / "author").read_text() == name for v, name in published)


def test_two_exports_at_once(tmp_path):
    jobs = {seed: (dense(seed=seed), HashEncoder(seed)) for seed in (1, 2, 3)}
    versions = {}

    def job(seed):
        versions[seed] = export(*jobs[seed], tmp_path)

    run_together([lambda seed=s: job(seed) for s in jobs])
    assert versions_in(tmp_path) == ["1", "2", "3"]
    for seed, (model, encoder) in jobs.items():
        expected = probability(model, embedded(encoder, TEXTS[:2]))
        answers = ask(versions[seed], text=TEXTS[:2])
        np.testing.assert_allclose(answers, expected, atol=1e-5)
