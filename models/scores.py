"""The scores file: Parquet with `event_id` and `score`."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import BadInput
from models.dataset import Rows


def write_scores(path: Path, rows: Rows, scores: NDArray[np.float64], model_id: str) -> None:
    """Write one line a row, in the order of the rows; the schema's metadata names the model.

    Raises BadInput when the file cannot be written.
    """
    table = pa.table({"event_id": rows.event_id, "score": scores})
    try:
        pq.write_table(table.replace_schema_metadata({"model": model_id}), path)
    except OSError as error:
        raise BadInput(f"--out: {path} cannot be written ({error.strerror or error})") from None
