import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from killed_encode import BATCH_SIZE, TEXTS, Betraying, encode_all
from letters import ITEM, QUERY, Letters, letters, pairs
from safetensors.numpy import load_file, save_file

from tfimportance import InputError
from tfimportance.encoding import encode
from tfimportance.encoding.cache import open_cache, text_keys

DIFFERENT = len(set(TEXTS))


@pytest.fixture
def small_shards(monkeypatch):
    """Every batch becomes a shard of its own."""
    monkeypatch.setattr("tfimportance.encoding.cache._SHARD_SECONDS", 0.0)


def shards(folder):
    return sorted(Path(folder).rglob("*.safetensors"))


def test_a_second_run_encodes_nothing(tmp_path):
    examples = pairs(query=QUERY, item=ITEM)
    first = encode(Letters(), examples, cache=tmp_path)
    encoder = Letters()
    again = encode(encoder, examples, cache=tmp_path)
    assert encoder.seen == []
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, encode(Letters(), examples))


def test_only_new_texts_are_encoded(tmp_path):
    encode(Letters(), QUERY, cache=tmp_path)
    encoder = Letters()
    x = encode(encoder, ["shoe", *QUERY, "Sofa"], cache=tmp_path)
    assert encoder.seen == [["shoe", "Sofa"]]
    np.testing.assert_allclose(x, letters(["shoe", *QUERY, "Sofa"]), rtol=1e-6)
    encoder = Letters()
    encode(encoder, ["Sofa", "bed"], cache=tmp_path)
    assert encoder.seen == []


def test_other_fields_use_the_same_entries(tmp_path):
    examples = pairs(query=QUERY, item=ITEM)
    encode(Letters(), examples, fields="concat", cache=tmp_path)
    encoder = Letters()
    encode(encoder, examples, fields="interaction", cache=tmp_path)
    assert encoder.seen == []


def test_a_changed_encoder_never_reads_old_values(tmp_path):
    class Doubled(Letters):
        fingerprint = "letters of tests, 2"

        def __call__(self, texts):
            return 2 * super().__call__(texts)

    encode(Letters(), QUERY, cache=tmp_path)
    for _ in range(2):
        x = encode(Doubled(), QUERY, cache=tmp_path)
        np.testing.assert_allclose(x, 2 * letters(QUERY), rtol=1e-6)
    x = encode(Letters(), QUERY, cache=tmp_path)
    np.testing.assert_allclose(x, letters(QUERY), rtol=1e-6)


@pytest.mark.parametrize("fingerprint", [None, "", 5])
def test_an_encoder_without_a_fingerprint(tmp_path, fingerprint):
    encoder = Letters()
    encoder.fingerprint = fingerprint
    with pytest.raises(InputError, match=r"Set encoder\.fingerprint to a text"):
        encode(encoder, QUERY, cache=tmp_path)
    with pytest.raises(InputError, match="fingerprint=None of 'function'"):
        encode(lambda texts: texts, QUERY, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_is_a_file(tmp_path):
    path = tmp_path / "cache"
    path.touch()
    with pytest.raises(InputError, match="`cache` must be a folder"):
        encode(Letters(), QUERY, cache=path)


def test_the_same_bytes_make_one_entry(tmp_path):
    encoder = Letters()
    encode(encoder, ["shoe \ud83d", "shoe ?", "é"], cache=tmp_path)
    assert sum(map(len, encoder.seen)) == 2
    keys = load_file(shards(tmp_path)[0])["keys"]
    assert keys.shape == (2, 16)
    # b2sum -l 128, and a text beyond ASCII.
    assert text_keys(np.array(["é"], object))[0] in [k.tobytes() for k in keys]


def test_the_key_is_blake2b_of_the_bytes():
    # printf 'abc' | b2sum -l 128
    expected = bytes.fromhex("cf4ab791c62b8d2b2109c90275287816")
    assert text_keys(np.array(["x", "abc"], object))[1] == expected


def test_many_shards_give_each_text_its_own_values(tmp_path, small_shards):
    whole = encode_all(tmp_path, Betraying())
    assert len(shards(tmp_path)) == -(-DIFFERENT // BATCH_SIZE)
    order = np.random.default_rng(5).permutation(len(TEXTS))
    encoder = Betraying()
    some = [TEXTS[i] for i in order[:200]]
    x = encode(encoder, [*some, "new"], cache=tmp_path)
    assert encoder.seen == [[b"new"]]
    np.testing.assert_array_equal(x[:-1], whole[order[:200]])
    np.testing.assert_array_equal(x[-1, :2], [3, 1])


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "cut in the header": lambda content: content[:40],
    "empty": lambda content: b"",
    "a flipped bit": lambda content: (
        content[:-9] + bytes([content[-9] ^ 4]) + content[-8:]
    ),
    "another file": lambda content: b"\x20" + b"\0" * 7 + b'{"a": 1}' * 9,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_noticed_and_redone(tmp_path, small_shards, damage):
    whole = encode_all(tmp_path, Betraying())
    chosen = shards(tmp_path)[3]
    before = load_file(chosen)
    chosen.write_bytes(DAMAGES[damage](chosen.read_bytes()))
    encoder = Betraying()
    with pytest.warns(UserWarning, match=f"{chosen.name}.*damaged.*again"):
        again = encode_all(tmp_path, encoder)
    assert len(encoder.seen) == 1  # the batch of that shard, none else
    np.testing.assert_array_equal(whole, again)
    np.testing.assert_equal(load_file(chosen), before)
    encoder = Betraying()
    encode_all(tmp_path, encoder)
    assert encoder.seen == []


def test_a_shard_of_another_layout_is_redone(tmp_path):
    encode(Letters(), QUERY, cache=tmp_path)
    save_file({"keys": np.zeros((2, 3), np.uint8)}, shards(tmp_path)[0])
    encoder = Letters()
    with pytest.warns(UserWarning, match="damaged"):
        encode(encoder, QUERY, cache=tmp_path)
    assert len(encoder.seen) == 1


def test_what_was_encoded_before_an_error_is_kept(tmp_path):
    class Failing(Letters):
        def __call__(self, texts):
            if len(self.seen) == 2:
                raise KeyboardInterrupt
            return super().__call__(texts)

    with pytest.raises(KeyboardInterrupt):
        encode(Failing(), QUERY, batch_size=1, cache=tmp_path)
    encoder = Letters()
    encode(encoder, QUERY, batch_size=1, cache=tmp_path)
    assert encoder.seen == [["bed"], [""]]


def test_bad_values_are_not_kept(tmp_path):
    class Infinite(Letters):
        def __call__(self, texts):
            return super().__call__(texts) / 0

    with pytest.raises(InputError, match="finite"):
        encode(Infinite(), QUERY, cache=tmp_path)
    x = encode(Letters(), QUERY, cache=tmp_path)
    np.testing.assert_allclose(x, letters(QUERY), rtol=1e-6)


def test_a_shard_is_written_when_it_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr("tfimportance.encoding.cache._SHARD_BYTES", 2 * 6 * 4)
    encode(Letters(), [*QUERY, *ITEM], batch_size=1, cache=tmp_path)
    assert len(shards(tmp_path)) == 4  # eight texts, two in a shard


def test_what_killed_runs_left_is_removed_when_it_is_old(tmp_path):
    encode(Letters(), QUERY, cache=tmp_path)
    old, new = (
        shards(tmp_path)[0].with_name(f".{name}-7-7.safetensors")
        for name in ("old", "new")
    )
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    encode(Letters(), QUERY, cache=tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_writers_at_the_same_time(tmp_path, small_shards):
    results = [None] * 4

    def work(i):
        results[i] = encode_all(tmp_path, Betraying())

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    whole = encode_all(tmp_path / "alone", Betraying())
    for result in results:
        np.testing.assert_array_equal(result, whole)
    encoder = Betraying()
    np.testing.assert_array_equal(encode_all(tmp_path, encoder), whole)
    assert encoder.seen == []


def start(*arguments):
    code = Path(__file__).with_name("killed_encode.py")
    return subprocess.Popen([sys.executable, code, *map(str, arguments)])


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path):
    batches = -(-DIFFERENT // BATCH_SIZE)
    whole = encode_all(tmp_path / "whole", Betraying())
    done = 0
    for batch, place in [(5, "writing"), (4, "embedding")]:
        process = start(tmp_path / "cache", batch, place)
        assert process.wait() == -signal.SIGKILL
        done += batch
        shutil.copytree(tmp_path / "cache", tmp_path / place)
        assert len(shards_of_runs(tmp_path / place)) == done
    encoder = Betraying()
    x = encode_all(tmp_path / "cache", encoder)
    assert len(encoder.seen) == batches - done
    assert x.tobytes() == whole.tobytes()


def shards_of_runs(folder):
    return [path for path in shards(folder) if not path.name.startswith(".")]


@pytest.mark.slow
def test_two_processes_killed_at_any_time(tmp_path):
    whole = encode_all(tmp_path / "whole", Betraying())
    rng = np.random.default_rng(int(time.time()))
    for _ in range(3):
        pair = [start(tmp_path / "cache", 10**6, "never") for _ in range(2)]
        time.sleep(rng.uniform(2, 7))
        for process in pair:
            process.kill()
            assert process.wait() in (0, -signal.SIGKILL)
    encoder = Betraying()
    x = encode_all(tmp_path / "cache", encoder)
    assert x.tobytes() == whole.tobytes()


def test_the_index_is_a_search_not_a_scan(tmp_path):
    """Texts that are not there, before, between and after the keys."""
    encode(Letters(), QUERY, cache=tmp_path)
    opened = open_cache(tmp_path, Letters())
    keys = text_keys(np.array([*QUERY, "x", "y", "z", *"abcdef"], object))
    found = np.concatenate([rows for rows, _ in opened.find(keys)])
    assert sorted(found) == [0, 1, 2, 3, 4, 5]
