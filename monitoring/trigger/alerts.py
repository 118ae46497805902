"""Alertmanager's webhook, as far as it asks for retrainings: https://prometheus.io/docs/alerting/latest/configuration/.

An alert asks if its rule gives it the labels `model` and `retraining` (drift, decay or schedule). Alertmanager sends it
again and again while it fires, each time with the same fingerprint and the same beginning: these two name the request.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fairlead.errors import RetrainingError
from fairlead.retraining.entries import Asked
from fairlead.spec._base import KebabName
from fairlead.spec.retraining import Trigger

MOST_ALERTS = 1000
_MODEL = TypeAdapter(KebabName)


class Alert(BaseModel):
    """One alert of a notification; it says more, which is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Literal["firing", "resolved"]
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = {}
    startsAt: AwareDatetime  # noqa: N815  # Alertmanager's own name
    fingerprint: Annotated[str, Field(min_length=1, max_length=64)]

    @property
    def key(self) -> str:
        """The same for every repetition of one alert."""
        return f"{self.fingerprint}@{self.startsAt.astimezone(UTC).isoformat()}"

    @property
    def trigger(self) -> Trigger | None:
        """What it asks a retraining for; None: it asks for none."""
        found = self.labels.get("retraining")
        return next((name for name in get_args(Trigger) if name == found and name != "person"), None)

    @property
    def model(self) -> str | None:
        """Of which model; None where no model can have that name."""
        try:
            return _MODEL.validate_python(self.labels.get("model"))
        except ValidationError:
            return None

    def request(self, now: datetime) -> Asked | None:
        """What it asks, if it does."""
        if self.trigger is None or self.model is None:
            return None
        by = self.labels.get("alertname", "an alert")
        why = self.annotations.get("summary") or self.annotations.get("description", "")
        return Asked(at=now, key=self.key, trigger=self.trigger, by=by[:200], why=why[:500], standing=True)


class Notification(BaseModel):
    """The body of a webhook, version 4."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal["4"]
    alerts: Annotated[list[Alert], Field(max_length=MOST_ALERTS)]


def read_notification(body: bytes) -> Notification:
    """A webhook's body.

    Raises:
        RetrainingError: it is none; the message names the place.
    """
    try:
        return Notification.model_validate_json(body)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"]) or "the body"
        raise RetrainingError(f"{place}: {detail['msg']}") from None
