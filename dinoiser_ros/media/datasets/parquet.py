# SPDX-License-Identifier: Apache-2.0
"""Parquet files that Hugging Face's `datasets` opens: picture, label map and name in a row.

`datasets.load_dataset("parquet", data_files="<folder>/*.parquet")` gives pictures and label maps as
PIL images.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from .sample import Provenance, Sample

_ROWS = 1000  # of a file
_FEATURES = {
    "image": {"_type": "Image"},
    "labels": {"_type": "Image"},
    "name": {"dtype": "string", "_type": "Value"},
}


def write(folder: Path, samples: Iterable[Sample], provenance: Provenance) -> None:
    """Write 00000.parquet, 00001.parquet, ...; provenance is in their metadata."""
    import pyarrow as pa

    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    told = {
        "huggingface": json.dumps({"info": {"features": _FEATURES}}),
        "dinoiser_ros": json.dumps({"classes": list(provenance.classes), **provenance.record}),
    }
    schema = pa.schema(
        [("image", picture), ("labels", picture), ("name", pa.string())], metadata=told
    )
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    files = 0
    for sample in samples:
        rows.append(_row(sample))
        if len(rows) == _ROWS:
            _write_file(folder / f"{files:05d}.parquet", rows, schema)
            rows, files = [], files + 1
    if rows:
        _write_file(folder / f"{files:05d}.parquet", rows, schema)


def _row(sample: Sample) -> dict[str, Any]:
    coded = io.BytesIO()
    Image.fromarray(sample.pixels()).save(coded, "PNG")
    return {
        "image": {"bytes": coded.getvalue(), "path": f"{sample.name}.png"},
        "labels": {"bytes": sample.labels_file.read_bytes(), "path": f"{sample.name}_labels.png"},
        "name": sample.name,
    }


def _write_file(path: Path, rows: list[dict[str, Any]], schema: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, path, row_group_size=100)
