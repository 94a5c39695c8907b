"""Texts per second against the peers, in turns: tables 1 and 2."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.stats import spearmanr

from tfimportance import datasets, encode, importance_scores, load_encoder

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers-encoding" / "bin" / "python"
Array = np.ndarray[Any, Any]
# What runs on a text: returns seconds and embeddings.
Run = Callable[[list[str]], tuple[float, Array]]


def real_texts(count: int) -> list[str]:
    """Returns different product titles and headlines of reviews."""
    esci = datasets.load("esci_sample")
    columns = [
        esci["title"][esci["query_locale"] == "us"],
        datasets.load("chorus_electronics")["title"],
        datasets.load("womens_clothing_reviews")["title"],
    ]
    different = sorted({text for column in columns for text in column if text})
    chosen = np.random.default_rng(0).permutation(len(different))[:count]
    return [different[i] for i in chosen]


class Peers:
    """The process of the peers; it sleeps while it is not asked."""

    def __init__(self, folder: Path, **request: str) -> None:
        self._request = {"texts": str(folder / "texts.json"), **request}
        self.versions = "no peers: see encoding_peers.py"
        self._process = None
        if PEERS.exists():
            self._process = subprocess.Popen(
                [str(PEERS), str(HERE / "encoding_peers.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self.versions = self._reply()["versions"]

    def run(self, peer: str, texts: list[str]) -> tuple[float, Array]:
        """Returns seconds and embeddings of one peer."""
        if self._process is None:
            raise RuntimeError("not installed")
        Path(self._request["texts"]).write_text(json.dumps(texts))
        request = json.dumps({**self._request, "peer": peer})
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        reply = self._reply()
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply["seconds"], np.load(reply["file"])

    def _reply(self) -> dict[str, Any]:
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.communicate()


def timed(encoder: Any) -> Run:
    """Returns our own run: from strings to the array, nothing prepared."""

    def run(texts: list[str]) -> tuple[float, Array]:
        start = time.perf_counter()
        values = encode(encoder, texts, progress=False)
        return time.perf_counter() - start, values

    return run


def in_turns(
    runs: dict[str, Run], texts: list[str], rounds: int
) -> tuple[dict[str, float], dict[str, Array]]:
    """Returns the median seconds of each, and what it said."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    values = {}
    for turn in range(rounds + 1):
        few = texts[:64] if turn == 0 else texts  # the first warms up
        for name in [*seconds]:
            try:
                time_, values[name] = runs[name](few)
            except RuntimeError as error:
                print(f"{name}: {error}\n")
                del seconds[name]
                continue
            if turn:
                seconds[name].append(time_)
    return {n: float(np.median(s)) for n, s in seconds.items()}, values


def product_rate() -> float:
    """Returns FLOP/s of the bare products of MiniLM, 1,024 tokens at a time."""
    shapes = [(384, 1152), (384, 384), (384, 1536), (1536, 384)]
    pairs = [
        (tf.random.normal([1024, m]), tf.random.normal([m, n]))
        for m, n in shapes
    ]
    flop = sum(2 * 1024 * m * n for m, n in shapes)
    for _ in range(3):
        _ = [tf.matmul(*pair) for pair in pairs]
    start = time.perf_counter()
    for _ in range(50):
        _ = [tf.matmul(*pair) for pair in pairs]
    return 50 * flop / (time.perf_counter() - start)


def backbone(checkpoint: Path, quick: bool) -> None:
    """Prints table 1: MiniLM on real titles."""
    texts = real_texts(256 if quick else 10_000)
    full = load_encoder(checkpoint)
    half = load_encoder(checkpoint, dtype="bfloat16")
    rates: list[float] = []

    def floor(texts: list[str]) -> tuple[float, Array]:
        rates.append(product_rate())
        return flop / rates[-1], np.zeros(0)

    counts = np.asarray(full.token_counts(tf.constant(texts)), np.float64)
    layer = 2 * (4 * 384**2 + 2 * 384 * 1536)
    flop = 6 * float((counts * layer + 4 * counts**2 * 384).sum())
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(Path(folder), checkpoint=str(checkpoint))
        runs: dict[str, Run] = {
            "bare products": floor,
            "tfimportance, float32": timed(full),
            "tfimportance, bfloat16": timed(half),
        }
        for library in ("sentence-transformers", "OpenVINO", "ONNX Runtime"):
            for kind in ("float32", "bfloat16", "int8"):
                name = f"{library}, {kind}"
                if name not in _ABSENT:
                    runs[name] = lambda t, name=name: peers.run(name, t)
        seconds, values = in_turns(runs, texts, rounds=1 if quick else 3)
        peers.close()
    print(
        f"{len(texts):,} texts of {counts.mean():.1f} tokens; bare products "
        f"{np.median(rates) / 1e9:.0f} GFLOP/s; {peers.versions}.\n"
    )
    _speed_table(seconds, values, len(texts), "tfimportance, float32")


_ABSENT = {
    "sentence-transformers, int8",
    "OpenVINO, int8",
    "ONNX Runtime, bfloat16",
}


def _speed_table(
    seconds: dict[str, float], values: dict[str, Array], count: int, ours: str
) -> None:
    print("| encoder | texts/s | of the bare products | Spearman |")
    print("|---|---|---|---|")
    scores = {
        name: _importance(each) for name, each in values.items() if each.size
    }
    for name, each in seconds.items():
        rank = ""
        if name in scores:
            rank = f"{spearmanr(scores[name], scores[ours]).statistic:.5f}"
        share = seconds["bare products"] / each
        print(f"| {name} | {count / each:,.0f} | {share:.2f} | {rank} |")
    print(f"\nSpearman of the importances to those of {ours}.")
    for kind in ("float32", "bfloat16"):
        others = {n: s for n, s in seconds.items() if n.endswith(kind)}
        own = others.pop(f"tfimportance, {kind}")
        if others:
            best = min(others, key=others.__getitem__)
            print(f"{kind}: {others[best] / own:.2f} times {best}.")


def _importance(values: Array) -> Array:
    """Importance of all but the last tenth against that tenth."""
    cut = len(values) * 9 // 10
    return importance_scores(values[:cut], values[cut:], mode="similarity")


def static(checkpoint: Path, quick: bool) -> None:
    """Prints table 2: the shipped static encoder and model2vec."""
    texts = real_texts(512 if quick else 10_000)
    copies = 1 if quick else 10
    texts = [f"{text} {i}" for i in range(copies) for text in texts]
    encoder = load_encoder("static")
    with tempfile.TemporaryDirectory() as folder:
        _write_table(encoder, checkpoint, Path(folder))
        peers = Peers(Path(folder), checkpoint="", table=folder)
        runs: dict[str, Run] = {
            "static, `encode`": timed(encoder),
            "static, one call": lambda t: _call(encoder, t),
            "static, tokens only": lambda t: _tokens(encoder, t),
            "model2vec": lambda t: peers.run("model2vec", t),
        }
        seconds, values = in_turns(runs, texts, rounds=1 if quick else 5)
        peers.close()
    print(f"{len(texts):,} texts; {peers.versions}.\n")
    print("| encoder | texts/s |\n|---|---|")
    for name, each in seconds.items():
        print(f"| {name} | {len(texts) / each:,.0f} |")
    share = seconds["static, tokens only"] / seconds["static, one call"]
    print(f"\nTokenising is {share:.0%} of a call.")
    if "model2vec" in seconds:
        ratio = seconds["model2vec"] / seconds["static, one call"]
        cosine = (values["model2vec"] * values["static, `encode`"]).sum(1)
        print(
            f"A call is {ratio:.1f} times model2vec; median cosine of the two "
            f"{np.median(cosine):.4f}."
        )


def _call(encoder: Any, texts: list[str]) -> tuple[float, Array]:
    start = time.perf_counter()
    size = encoder.batch_size
    parts = [
        encoder(tf.constant(texts[i : i + size])).numpy()
        for i in range(0, len(texts), size)
    ]
    return time.perf_counter() - start, np.concatenate(parts)


def _tokens(encoder: Any, texts: list[str]) -> tuple[float, Array]:
    tokenize = tf.function(encoder._tokenizer.tokenize)
    size = encoder.batch_size
    tokenize(tf.constant(texts[:size]))
    start = time.perf_counter()
    for i in range(0, len(texts), size):
        tokenize(tf.constant(texts[i : i + size])).flat_values.numpy()
    return time.perf_counter() - start, np.zeros(0)


def _write_table(encoder: Any, checkpoint: Path, folder: Path) -> None:
    """Writes our table with the checkpoint's tokenizer, for model2vec.

    Rows of pieces that no text gives, such as [CLS], are zero.
    """
    pieces = (checkpoint / "vocab.txt").read_text(encoding="utf-8").split("\n")
    ours = encoder._identity.split("\n")[1:]
    rows = dict(zip(ours, encoder._table.numpy(), strict=True))
    nothing = np.zeros(encoder.dim, np.float32)
    table = [rows.get(piece, nothing) for piece in pieces if piece]
    np.save(folder / "table.npy", np.stack(table))
    text = (checkpoint / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
