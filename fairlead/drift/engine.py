"""What compares two samples, column by column: ours, and behind the same Protocol others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from fairlead.drift._base import Column, ColumnTest, Evidence
from fairlead.drift.chi_square import chi_square
from fairlead.drift.ks import ks
from fairlead.drift.missing import missing
from fairlead.drift.psi import psi

TESTS: Mapping[str, ColumnTest] = {"ks": ks, "psi": psi, "chi_square": chi_square, "missing": missing}


class Compared(NamedTuple):
    """One test of one column."""

    column: str
    test: str
    evidence: Evidence | None
    """None: too few values, or only one."""


class Columns(NamedTuple):
    """The columns of a reference and of a window; names and types agree."""

    reference: Mapping[str, Column]
    window: Mapping[str, Column]


class Engine(Protocol):
    """Compares columns. `missing` is no engine's own: values are left out before a test sees them."""

    name: str

    def compare(self, columns: Columns, tests: Mapping[str, Sequence[str]]) -> list[Compared]:
        """Run each column's tests.

        Args:
            columns: what to compare.
            tests: column → names of `TESTS`.

        Raises:
            EngineError: it failed.
        """
        ...

    def library(self) -> str:
        """What computes, with its version: `scipy 1.16.0`.

        Raises:
            EngineMissingError: it is not there, or not the one that is expected.
        """
        ...


class OwnEngine:
    """`Engine` by the tests of this package, on NumPy and SciPy."""

    name = "own"

    def compare(self, columns: Columns, tests: Mapping[str, Sequence[str]]) -> list[Compared]:
        return [
            Compared(column, name, TESTS[name](columns.reference[column], columns.window[column]))
            for column, names in tests.items()
            for name in names
        ]

    def library(self) -> str:
        from importlib.metadata import version

        return f"scipy {version('scipy')}, numpy {np.__version__}"
