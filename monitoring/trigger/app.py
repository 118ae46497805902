"""The trigger's interface: Alertmanager's webhook at `/alertmanager`."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fairlead.errors import RetrainingError
from fairlead.ports import RetrainingLog
from fairlead.retraining.desk import Desk
from fairlead.spec.retraining import RetrainingSpec
from monitoring.trigger.alerts import Alert, Notification, read_notification

BODY_BYTES = 4 * 1024 * 1024


def _now() -> datetime:
    return datetime.now(UTC)


class Trigger:
    """Writes what alerts ask into the log. It starts nothing: the brakes answer where a pipeline can be started."""

    def __init__(self, log: RetrainingLog, clock: Callable[[], datetime] = _now) -> None:
        self._log, self._clock = log, clock

    def routes(self) -> list[Route]:
        """For an ASGI application."""
        return [Route("/alertmanager", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> JSONResponse:
        """Take a notification.

        200: it is in the log, or was, or asks for nothing; what became of its alerts is counted. 400, 413: it is no
        notification, and sending it again is no use. 503: the log cannot be written; Alertmanager sends it again.
        """
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_BYTES:
                return JSONResponse({"error": f"at most {BODY_BYTES} bytes"}, status_code=413)
        try:
            notification = read_notification(body)
        except RetrainingError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        try:
            found = await asyncio.to_thread(self._take, notification)
        except RetrainingError as error:
            return JSONResponse({"error": str(error)}, status_code=503)
        return JSONResponse(found)

    def _take(self, notification: Notification) -> dict[str, int]:
        return dict(Counter(self._took(alert) for alert in notification.alerts))

    def _took(self, alert: Alert) -> str:
        now = self._clock()
        asked = alert.request(now)
        if asked is None or alert.model is None:
            return "ignored"
        desk = Desk(alert.model, RetrainingSpec(), self._log)  # asking needs no brakes
        if alert.status == "resolved":
            return "withdrawn" if desk.withdraw(asked.key, now) else "repeated"
        return "asked" if desk.ask(asked) else "repeated"
