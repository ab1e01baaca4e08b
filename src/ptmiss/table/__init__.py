"""The recoil table: one row per event, in memory or read some rows at a time from parquet.

* ``columns``: their names, and what they and the table's provenance say, wherever the rows are
* ``storage``: tables in memory and in files, and their writer
"""

from .columns import (
    CORRECTED,
    DATASET,
    EVENT_COLUMNS,
    MOVED,
    SIGNIFICANCE,
    TRUTH_COLUMNS,
    WEIGHT,
    Table,
)
from .storage import (
    RecoilTable,
    StoredTable,
    TableWriter,
    merge,
    of_dataset,
    of_significance,
    open_table,
    polar,
    read,
    rows,
    writing,
)

__all__ = [
    "CORRECTED",
    "DATASET",
    "EVENT_COLUMNS",
    "MOVED",
    "SIGNIFICANCE",
    "TRUTH_COLUMNS",
    "WEIGHT",
    "RecoilTable",
    "StoredTable",
    "Table",
    "TableWriter",
    "merge",
    "of_dataset",
    "of_significance",
    "open_table",
    "polar",
    "read",
    "rows",
    "writing",
]
