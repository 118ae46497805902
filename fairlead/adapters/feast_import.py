"""Importing Feast in a third of the time."""

import sys
from typing import Any


def import_feast(*, checked: bool = False) -> None:
    """Import Feast; unless `checked`, without typeguard's instrumentation, which takes 5 of its 8 seconds.

    Feast decorates its classes with `typeguard.typechecked`, which parses and compiles them again at each import, so
    that wrong types of arguments are told. `fairlead check` asks for that; the steps of pipelines, each a process of
    its own, run what was checked. Where Feast is imported already, nothing happens.
    """
    if "feast" in sys.modules:
        return
    import typeguard

    instrument = typeguard.typechecked
    typeguard.typechecked = instrument if checked else _as_it_is
    try:
        import feast  # noqa: F401
    finally:
        typeguard.typechecked = instrument


def _as_it_is(target: Any = None, **options: Any) -> Any:
    """In place of the decorator, with and without arguments."""
    return target if target is not None else _as_it_is
