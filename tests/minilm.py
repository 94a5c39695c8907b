"""What the original implementation says of a few texts, and how it was made.

`python minilm.py CHECKPOINT`, in an environment with sentence-transformers
6.2.0 and PyTorch 2.13.0, writes `minilm.npz` beside this file: embeddings
float32 `(num_texts, 384)` of TEXTS by all-MiniLM-L6-v2.
"""

import sys
from pathlib import Path

import numpy as np

TABLE = Path(__file__).with_name("minilm.npz")
# None holds a text such as [SEP]: there the original sees a control token, and
# here the three pieces [ sep ] stand for themselves.
TEXTS = [
    "Solid wood platform bed",
    "",
    "Très jolie robe, 38 € — naïve",
    "北京 red dress don't—stop! 50%",
    "great 😀👍",
    "5m Velocity™ HDMI® Cable … ½ ② ﬁne \uff26\uff35",
    "zero\u200bwidth soft\u00adware \ufffd",
    "antidisestablishmentarianism " * 3,
    "I love this dress and it fits, true to size. " * 60,  # is cut at 256
]


def main(checkpoint: str) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(checkpoint, device="cpu")
    # One at a time: no padding, and no other text, has a say.
    rows = [model.encode([text], batch_size=1)[0] for text in TEXTS]
    np.savez_compressed(TABLE, embeddings=np.stack(rows))


if __name__ == "__main__":
    main(sys.argv[1])
