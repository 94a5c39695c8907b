"""The cells of a quality table: run side by side, kept, and gone on with."""

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tfimportance._files import staged_file

RESULTS = Path("runs/quality")
Cell = tuple[str | int | float, ...]
Found = dict[str, dict[str, Any]]  # figures by method


def measure(
    table: str,
    run: Callable[..., Found],
    cells: Sequence[Cell],
    methods: Sequence[str],
    workers: int,
) -> list[Found]:
    """Returns what each cell has found, in the order of the cells.

    Args:
        table: The folder of the results in `RESULTS`.
        run: `run(*cell, methods)`, importable; runs only what is not kept.
        cells: The arguments that name a cell.
        methods: Those wanted; `run` returns a figure or more for each.
        workers: Processes.
    """
    folder = RESULTS / table
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [
            pool.submit(_complete, folder, run, cell, methods) for cell in cells
        ]
        for done, job in enumerate(jobs, 1):
            found.append(job.result())
            print(f"\r{table}: {done}/{len(cells)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return found


def _complete(
    folder: Path, run: Callable[..., Found], cell: Cell, methods: Sequence[str]
) -> Found:
    name = "-".join(str(part) for part in cell)
    path = folder / f"{name.replace(', ', '-').replace(' ', '_')}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    left = [method for method in methods if method not in found]
    if left:
        found |= run(*cell, left)
        with staged_file(path) as stage:
            stage.write_text(json.dumps(found))
    return {method: found[method] for method in methods}
