"""Writing clean tables, once they have passed the gate."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fairlead.lineage.digest import hash_json
from fairlead.ports import TableStore
from fairlead.spec import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def write_clean(
    dataset: DatasetSpec,
    tables: "Mapping[str, pa.Table]",
    raw: Mapping[str, int],
    store: TableStore,
    *,
    as_of: str,
    code_version: str,
) -> dict[str, int]:
    """Write `<dataset>/clean/<table>`; returns table → version."""
    spec = hash_json(dataset.model_dump(mode="json"))
    key = hash_json({"raw": dict(raw), "as_of": as_of, "code": code_version, "spec": spec})
    notes = {"as_of": as_of, "code_version": code_version}
    return {
        name: store.write(f"{dataset.name}/clean/{name}", rows, key=key, notes=notes) for name, rows in tables.items()
    }


def as_frames(tables: "Mapping[str, pa.Table]") -> "dict[str, pd.DataFrame]":
    """Tables as pandas frames with nullable types: a whole number with gaps stays a whole number."""
    import pandas as pd
    import pyarrow as pa

    types = {
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype(),
        pa.float64(): pd.Float64Dtype(),
    }
    return {name: rows.to_pandas(types_mapper=types.get) for name, rows in tables.items()}
