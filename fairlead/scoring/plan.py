"""What a batch is scored from: the same plan gives the same rows."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict

from fairlead.lineage.digest import hash_json
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.spec.dataset import TableSpec

TABLE_NAME = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*/[a-z][a-z0-9_-]*")
"""`<dataset>/<layer>/<table>`, below the root of the tables; anything else is a path."""


class BatchPlan(BaseModel):
    """The arguments of a batch, with all versions pinned."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    dataset: DatasetSpec
    """As it was when the model was trained."""
    model: ModelSpec
    version: str
    bundle: str
    """Digest of the bundle."""
    source: str
    """A table's name, or the path of a Delta table, a Parquet file or a folder of them."""
    source_version: int | None = None
    """Of a Delta table."""
    source_digest: str
    """The Delta table's identity, or a SHA-256 of the Parquet files."""
    start: str = ""
    """ISO 8601 instant: only what the model is asked about from then on, at its time of asking. Empty: all rows."""
    end: str = ""
    """ISO 8601 instant before which the last row is asked about."""
    asked_at: str = ""
    """ISO 8601 instant for rows that do not say theirs. Empty: when the scoring begins."""
    features: dict[str, int] = {}
    """Feature table → version."""
    output: str
    """A table's name, or a path."""
    keep: tuple[str, ...] = ()
    """Columns of the input that the predictions repeat."""
    code_version: str

    @property
    def key(self) -> str:
        """Names all that the predictions are made from."""
        return hash_json(self.model_dump(mode="json"))

    @property
    def rows_table(self) -> TableSpec:
        """The table whose rows the model was trained on."""
        return self.dataset.tables[self.model.rows.table]

    @property
    def source_label(self) -> str:
        """The input, for people."""
        return self.source if self.source_version is None else f"{self.source}@{self.source_version}"

    def arguments(self) -> dict[str, Any]:
        """As the pipeline score_batch takes them."""
        fixed = self.model_dump(mode="json", exclude={"dataset", "model", "source_version"})
        pinned = "" if self.source_version is None else str(self.source_version)
        specs = {"dataset": self.dataset.to_parameter(), "model": self.model.to_parameter()}
        return {**specs, **fixed, "source_version": pinned}
