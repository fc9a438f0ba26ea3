"""How far the rollouts of a finished run went, from its results: what `--history` gives to the same tasks of another run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from concur_batch.errors import RunDirectoryError

_COLUMNS = ("id", "status", "context_tokens")
_BATCH_ROWS = 4096
_BUFFER_BYTES = 1 << 20


def contexts(run_dir: Path) -> Iterator[tuple[str, int]]:
    """Task id and tokens of the context at the end, of each rollout that had a reply and no error; in job order, streamed.

    Raises RunDirectoryError where there are no results, or none that tell it.
    """
    path = run_dir / "results.parquet"
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            missing = [column for column in _COLUMNS if column not in file.schema_arrow.names]
            if missing:
                raise RunDirectoryError(
                    f"{path}: has no column {missing[0]}; `concur resume {run_dir}` writes it anew from the journal"
                )
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(_COLUMNS), use_threads=False):
                ids, statuses, tokens = (batch.column(column).to_pylist() for column in _COLUMNS)
                for task, status, context in zip(ids, statuses, tokens, strict=True):
                    if status != "error" and context:
                        yield task, context
    except FileNotFoundError:
        raise RunDirectoryError(
            f"{run_dir}: has no results yet (there is no {path.name}); let that run end, or name another"
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise RunDirectoryError(f"{path}: cannot be read ({str(error).splitlines()[0]}); name another run") from error
