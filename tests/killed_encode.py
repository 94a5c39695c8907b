"""An encoder whose bytes betray the batch; as a program it is killed.

`python killed_encode.py CACHE BATCH PLACE` encodes TEXTS with a shard for each
batch and sends itself SIGKILL in that batch: while it is `embedding` it, or
when half of its shard is `writing`.
"""

import os
import signal
import sys
import zlib
from pathlib import Path

import numpy as np

from tfimportance.encoding import cache, encode

rng = np.random.default_rng(31)
TEXTS = [
    " ".join(rng.choice(["red", "blue", "dress", "sofa", "é"], size))
    for size in rng.integers(0, 40, 300)
]
BATCH_SIZE = 16


class Betraying:
    """Three numbers of a text and one of its batch, shape and neighbours."""

    dim = 4
    fingerprint = "betraying"

    def __init__(self):
        self.seen = []

    def __call__(self, texts):
        batch = list(texts.numpy())
        self.seen.append(batch)
        other = zlib.crc32(b"|".join(batch)) / 2**32
        return np.float32(
            [[len(t), t.count(b"e"), zlib.crc32(t) % 997, other] for t in batch]
        )


def encode_all(folder, encoder):
    return encode(
        encoder,
        TEXTS,
        batch_size=BATCH_SIZE,
        cache=folder,
        progress=False,
    )


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder, batch, place):
    cache._SHARD_SECONDS = 0.0
    encoder = Betraying()
    embed, write = encoder.__class__.__call__, Path.write_bytes

    def killing_embed(self, texts):
        if place == "embedding" and len(self.seen) == batch:
            kill()
        return embed(self, texts)

    def killing_write(path, content):
        if place == "writing" and len(encoder.seen) == batch + 1:
            write(path, content[: len(content) // 2])
            kill()
        return write(path, content)

    encoder.__class__.__call__ = killing_embed
    Path.write_bytes = killing_write
    encode_all(folder, encoder)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
