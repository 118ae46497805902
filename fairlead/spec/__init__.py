"""What users declare: datasets and models, as typed and frozen objects."""

from fairlead.spec.dataset import DatasetSpec, Expectation, TableSpec
from fairlead.spec.load import load_dataset, load_model
from fairlead.spec.model import GatesSpec, ModelSpec

__all__ = ["DatasetSpec", "Expectation", "GatesSpec", "ModelSpec", "TableSpec", "load_dataset", "load_model"]
