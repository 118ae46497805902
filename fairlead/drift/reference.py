"""Rows from when all was well: some that a model was trained and tested on, kept in its bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.drift._base import Column
from fairlead.drift.sample import Sample
from fairlead.errors import DriftError
from fairlead.packaging.bundle import REFERENCE_FILE, Bundle
from fairlead.packaging.signature import UNKNOWN_CATEGORY, Input, Matrix, Signature

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

MOST_ROWS = 20_000
"""Drawn at random of a larger training set: about 2 MB for 60 inputs."""
AT, ENTITY, SCORE = "_at", "_entity", "_score"
"""An input's name begins with a letter."""
SCORES = "score"
"""As a column of a sample."""
UNSEEN = "(none that training knew)"
"""Stands for the code of a category that training did not see, and of a missing one: they are encoded alike."""


def write_reference(
    folder: Path,
    signature: Signature,
    *,
    at: "npt.NDArray[np.datetime64]",
    entities: "npt.NDArray[np.object_]",
    matrix: Matrix,
    scores: "npt.NDArray[np.float32]",
) -> None:
    """Write `reference.parquet`. It holds no personal value, and of entities only who is the same.

    Args:
        folder: a bundle's.
        signature: names the columns of `matrix`.
        at: when each row was asked, UTC.
        entities: whom each row is about.
        matrix: shape [n, d].
        scores: the model's, shape [n].
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = np.random.default_rng(0)
    few = np.sort(draw.permutation(len(matrix))[:MOST_ROWS])
    codes = {entity: code for code, entity in enumerate(dict.fromkeys(entities.tolist()))}
    columns = {
        AT: pa.array(at[few].astype("datetime64[us]")),
        ENTITY: pa.array([codes[entity] for entity in entities[few].tolist()], pa.int64()),
        SCORE: pa.array(scores[few].astype(np.float32)),
    }
    columns |= {
        item.name: pa.array(matrix[few, index]) for index, item in enumerate(signature.inputs) if _kept(item, signature)
    }
    pq.write_table(pa.table(columns), folder / REFERENCE_FILE, compression="zstd")


def read_reference(folder: Path, bundle: Bundle) -> Sample:
    """The reference of a bundle, with the score as the column `score`.

    Raises:
        DriftError: it has none, or one that does not fit its signature.
    """
    import pyarrow.parquet as pq

    if REFERENCE_FILE not in bundle.files:
        raise DriftError(f"{bundle.model}@{bundle.version} was packaged without {REFERENCE_FILE}: train it again")
    rows: pa.Table = pq.read_table(folder / REFERENCE_FILE)
    names = usable(bundle.signature)
    missing = [name for name in (AT, ENTITY, SCORE, *names) if name not in rows.column_names]
    if missing:
        raise DriftError(f"{folder / REFERENCE_FILE} must have the column {missing[0]!r}")
    matrix = np.column_stack([rows.column(name).to_numpy() for name in names]) if names else np.empty((len(rows), 0))
    columns = decoded([item for item in bundle.signature.inputs if item.name in names], matrix)
    columns |= {SCORES: rows.column(SCORE).to_numpy().astype(np.float64)}
    entities = np.array(rows.column(ENTITY).to_pylist(), dtype=object)
    return Sample(rows.column(AT).to_numpy().astype("datetime64[us]"), entities, columns)


def usable(signature: Signature) -> list[str]:
    """The inputs that records have a value of: all but personal ones."""
    return [item.name for item in signature.inputs if _kept(item, signature)]


def decoded(inputs: Sequence[Input], matrix: "npt.NDArray[np.floating]") -> dict[str, Column]:
    """Columns of a matrix that has them in this order: numbers, and categories by name."""
    return {item.name: _decode(item, matrix[:, index]) for index, item in enumerate(inputs)}


def _decode(item: Input, values: "npt.NDArray[np.floating]") -> Column:
    if item.kind == "number":
        return values.astype(np.float64)
    names: Mapping[float, str] = {float(code): name for code, name in enumerate(item.categories)}
    names = {UNKNOWN_CATEGORY: UNSEEN, **names}
    return np.array([names.get(value, f"(code {value:g})") for value in values.tolist()], dtype=object)


def _kept(item: Input, signature: Signature) -> bool:
    return signature.personal.get(item.name, "keep") == "keep"
