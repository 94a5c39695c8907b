"""The cells of a quality table: run side by side, kept, and gone on with."""

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from tfimportance._files import staged_file

RESULTS = Path("runs/quality")
Cell = dict[str, str | int | float]  # what names it
Found = dict[str, dict[str, Any]]  # figures by method


def measure(
    table: str,
    run: Callable[..., Found],
    cells: Sequence[Cell],
    methods: Sequence[str],
    workers: int,
) -> pd.DataFrame:
    """Returns a row for each cell and method: the cell, `method`, figures.

    Args:
        table: The folder of the results in `RESULTS`.
        run: `run(**cell, left=methods)`, importable; runs what is not kept.
        cells: The arguments that name a cell.
        methods: Those wanted; `run` returns a figure or more for each.
        workers: Processes.
    """
    folder = RESULTS / table
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [
            pool.submit(_complete, folder, run, cell, methods) for cell in cells
        ]
        for done, (cell, job) in enumerate(zip(cells, jobs, strict=True), 1):
            records += [
                {**cell, "method": method, **figures}
                for method, figures in job.result().items()
            ]
            print(f"\r{table}: {done}/{len(cells)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return pd.DataFrame(records)


def _complete(
    folder: Path, run: Callable[..., Found], cell: Cell, methods: Sequence[str]
) -> Found:
    name = "-".join(str(part) for part in cell.values())
    path = folder / f"{name.replace(', ', '-').replace(' ', '_')}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    left = [method for method in methods if method not in found]
    if left:
        found |= run(**cell, left=left)
        with staged_file(path) as stage:
            stage.write_text(json.dumps(found))
    return {method: found[method] for method in methods}
