"""The rules of alerts as tests need them: those that are committed, and the same ones made fast."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from fairlead.render.alerts import Context, Pace
from fairlead.render.rules import rule_files
from fairlead.spec import load_model

REPO = Path(__file__).parents[1]
RULES = sorted((REPO / "monitoring/rules").rglob("*.yaml"))
RUNBOOKS = "https://example.com/runbooks"
FAST = Pace(1 / 100, timedelta(seconds=2))
"""Five minutes are three seconds, six hours less than four minutes; nothing must last longer than two seconds."""


def rules_of(path: Path) -> list[dict[str, Any]]:
    """All rules of a file, or of a PrometheusRule."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [rule for group in document.get("spec", document)["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """The committed alerts by name."""
    return {rule["alert"]: rule for path in RULES for rule in rules_of(path) if "alert" in rule}


def write_fast(folder: Path) -> list[Path]:
    """The same rules at another pace: no copy, but rendered from the same source."""
    models = {path.stem: load_model(path) for path in sorted((REPO / "pipelines/models").glob("*.yaml"))}
    written = []
    for name, text in rule_files(Context(RUNBOOKS, pace=FAST), models).items():
        path = folder / name.name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
