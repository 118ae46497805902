"""What asks for a retraining, seen from what the watch has measured: in a replay and on every day."""

from dataclasses import dataclass
from datetime import datetime

from fairlead.performance.decay import Decay
from fairlead.retraining.desk import Desk
from fairlead.retraining.entries import Asked
from fairlead.spec.retraining import RetrainingSpec

SEEN = "seen-"
"""How the keys of such requests begin; those of alerts are fingerprints."""


@dataclass(frozen=True)
class Signals:
    """What was measured of the champion at an instant."""

    at: datetime
    version: str
    decay: Decay | None
    """None: too few labels."""
    novelty: float | None
    """None: no rows."""
    labels: int
    """Known now, in all."""
    learnt: int
    """Known when the champion was trained."""


def asks(spec: RetrainingSpec, signals: Signals) -> list[Asked]:
    """The requests that stand by these signals; one that is not among them is to be withdrawn.

    A request's key names the version, so what has been served by a retraining asks again only of the next champion.
    """
    found = []
    if signals.decay is not None and signals.decay.decayed:
        why = f"ROC AUC {signals.decay.live:.3f}, promised {signals.decay.promised:.3f}"
        found.append(("decay", "ModelDecay", why))
    if signals.novelty is not None and signals.novelty >= spec.novelty:
        found.append(("drift", "InputNovel", f"{signals.novelty:.0%} of the rows are beyond what it was fitted to"))
    if signals.learnt and signals.labels >= signals.learnt * (1 + spec.growth):
        found.append(("schedule", "LabelsGrown", f"{signals.labels:,} labels, {signals.learnt:,} at its training"))
    return [
        Asked(at=signals.at, key=f"{SEEN}{trigger}-{signals.version}", trigger=trigger, by=by, why=why, standing=True)
        for trigger, by, why in found
    ]


def tell(desk: Desk, signals: Signals) -> None:
    """Ask for what stands by these signals, and take back what stood by earlier ones and does not any more."""
    wanted = {asked.key: asked for asked in asks(desk.spec, signals)}
    for asked in wanted.values():
        desk.ask(asked)
    state = desk.state()
    for key in (*state.open, *state.served):
        if key.startswith(SEEN) and key not in wanted:
            desk.withdraw(key, signals.at)
