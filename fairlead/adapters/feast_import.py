"""Importing Feast in a third of the time, and without what it leaves in this process's environment."""

import os
import shutil
import sys
from typing import Any

OWN_FOLDER = "PROMETHEUS_MULTIPROCESS_DIR"
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def import_feast(*, checked: bool = False) -> None:
    """Import Feast; unless `checked`, without typeguard's instrumentation, which takes 5 of its 8 seconds.

    Feast decorates its classes with `typeguard.typechecked`, which parses and compiles them again at each import, so
    that wrong types of arguments are told. `fairlead check` asks for that; the steps of pipelines, each a process of
    its own, run what was checked. Where Feast is imported already, nothing happens.

    Feast has Prometheus's client count in a folder that it makes and names in the environment, for the workers of its
    own server. Every process started from here would count in there too, and each would tell the sums of all.
    """
    if "feast" in sys.modules:
        return
    import prometheus_client  # noqa: F401 - chooses at its import where it counts
    import typeguard

    instrument, before = typeguard.typechecked, dict(os.environ)
    typeguard.typechecked = instrument if checked else _as_it_is
    try:
        import feast  # noqa: F401
    finally:
        typeguard.typechecked = instrument
        _forget_folder(before)


def _forget_folder(before: dict[str, str]) -> None:
    if OWN_FOLDER not in before:
        made = os.environ.pop(OWN_FOLDER, None)
        if made is not None:
            shutil.rmtree(made)
    if SHARED_FOLDER not in before:
        os.environ.pop(SHARED_FOLDER, None)


def _as_it_is(target: Any = None, **options: Any) -> Any:
    """In place of the decorator, with and without arguments."""
    return target if target is not None else _as_it_is
