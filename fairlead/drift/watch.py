"""One version over its last windows: a verdict a window and kind, and an alarm where enough of them show drift."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias, get_args

from pydantic import BaseModel, ConfigDict

from fairlead.drift.detect import Detection, Kind, Rule, Verdict, alarm, detect, newest_per_week, tests_of
from fairlead.drift.engine import Engine
from fairlead.drift.reference import SCORES
from fairlead.drift.sample import Sample
from fairlead.drift.usual import usual_effects
from fairlead.drift.windows import Window
from fairlead.packaging.signature import Signature
from fairlead.spec.drift import DriftSpec

Look: TypeAlias = tuple[Sample, Mapping[Kind, Detection]]
"""A window's records of one version, and what they show."""
KINDS: tuple[Kind, ...] = get_args(Kind)
STRONGEST = 10
"""Findings that a report names; the figures hold all."""


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")


class Found(_Report):
    """A test of a column in the newest window that could be judged."""

    column: str
    test: str
    p_value: float
    """Corrected for the number of tests."""
    effect: float
    drifted: bool


class WindowVerdict(_Report):
    """What one window shows of one kind."""

    start: datetime
    end: datetime
    rows: int
    """One an entity, at hours that the reference knows."""
    reference_rows: int
    verdict: Verdict
    reason: str


class KindReport(_Report):
    """Drift of one kind."""

    kind: Kind
    alarm: bool
    windows: list[WindowVerdict]
    """Oldest first."""
    findings: list[Found]
    """Of the newest window that could be judged, the strongest first."""


class VersionReport(_Report):
    """Drift of one version of a model."""

    version: str
    kinds: list[KindReport]
    missing: dict[str, float]
    """Looked-up feature → share of the newest window's rows without it."""
    missing_before: dict[str, float]
    """The same in the reference."""

    @property
    def alarms(self) -> list[str]:
        """Kinds with an alarm."""
        return [item.kind for item in self.kinds if item.alarm]


def columns_by_kind(signature: Signature, sample: Sample, spec: DriftSpec) -> Mapping[Kind, Sequence[str]]:
    """What is compared, of the columns that a sample has."""
    found: dict[Kind, list[str]] = {"input": [], "feature": [], "prediction": [SCORES]}
    for item in signature.inputs:
        if item.name in sample.columns and item.name not in spec.ignore:
            found["input" if item.source == "request" else "feature"].append(item.name)
    return found


class Judge:
    """Compares windows of records with what one version was trained on."""

    def __init__(self, reference: Sample, signature: Signature, spec: DriftSpec, zone: str, engine: Engine) -> None:
        """Learn what is usual in the reference, which takes seconds.

        Args:
            reference: the version's.
            signature: says which columns are sent and which are looked up.
            spec: when a difference counts, and how many make an alarm.
            zone: of the clock that people live by.
            engine: what compares.
        """
        self._reference, self._signature, self._spec = reference, signature, spec
        self._zone, self._engine = zone, engine
        self._rule = _rule(reference, signature, spec, zone)

    def look(self, sample: Sample) -> Mapping[Kind, Detection]:
        """What a window's records of this version show, by kind.

        Raises:
            DriftError: the columns are not those of the reference, or the engine failed.
        """
        columns = columns_by_kind(self._signature, sample, self._spec)
        return {
            kind: _detect(kind, self._reference, sample, columns[kind], self._rule, self._zone, self._engine)
            for kind in KINDS
        }

    def report(self, version: str, windows: Sequence[Window], looks: Sequence[Look]) -> VersionReport:
        """The verdict on a version, from what `look` found of its last windows, oldest first."""
        kinds = [
            _kind_report(
                kind, [(window, found[kind]) for window, (_, found) in zip(windows, looks, strict=True)], self._spec
            )
            for kind in KINDS
        ]
        looked_up = [item.name for item in self._signature.looked_up if item.kind == "number"]
        return VersionReport(
            version=version,
            kinds=kinds,
            missing=_missing(looks[-1][0], looked_up),
            missing_before=_missing(self._reference, looked_up),
        )


def _rule(reference: Sample, signature: Signature, spec: DriftSpec, zone: str) -> Rule:
    """When a difference counts, with what is usual in the reference."""
    rule = Rule(
        level=spec.level / len(KINDS),
        effects=spec.effects.model_dump(),
        least_rows=spec.min_rows,
        most_unmatched=spec.max_unmatched,
        numbers=spec.numbers,
        categories=spec.categories,
    )
    if not spec.usual:
        return rule
    single = newest_per_week(reference)
    families = [tests_of(single, names, rule) for names in columns_by_kind(signature, reference, spec).values()]
    return replace(rule, usual=usual_effects(single, families, spec.window, zone))


def _detect(
    kind: Kind, reference: Sample, sample: Sample, names: Sequence[str], rule: Rule, zone: str, engine: Engine
) -> Detection:
    if not len(sample):
        return Detection("not enough data", "no records", 0, 0)
    if not names:
        return Detection("not enough data", "no column of this kind is recorded", len(sample), 0)
    return detect(reference, sample, dict.fromkeys(names, kind), rule, zone, engine=engine)


def _kind_report(kind: Kind, detections: Sequence[tuple[Window, Detection]], spec: DriftSpec) -> KindReport:
    judged = [found for _, found in detections if found.verdict != "not enough data"]
    windows = [
        WindowVerdict(
            start=window.start,
            end=window.end,
            rows=found.rows,
            reference_rows=found.reference_rows,
            verdict=found.verdict,
            reason=found.reason,
        )
        for window, found in detections
    ]
    return KindReport(
        kind=kind,
        alarm=alarm([found.verdict for _, found in detections], spec.breaches, spec.windows),
        windows=windows,
        findings=_found(judged[-1]) if judged else [],
    )


def _found(detection: Detection) -> list[Found]:
    found = [
        Found(
            column=item.column,
            test=item.test,
            p_value=item.p_adjusted if item.p_adjusted is not None else 1.0,
            effect=item.evidence.effect,
            drifted=item.drifted,
        )
        for item in detection.findings
        if item.evidence is not None
    ]
    return sorted(found, key=lambda item: (not item.drifted, item.p_value, -abs(item.effect)))


def _missing(sample: Sample, names: Sequence[str]) -> dict[str, float]:
    import numpy as np

    if not len(sample):
        return {}
    return {
        name: float(np.isnan(sample.columns[name].astype(float)).mean()) for name in names if name in sample.columns
    }
