"""Looks at all releases of an environment, again and again, until it is told to stop."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from fairlead.errors import CountsError, CountsMissingError, RolloutError
from fairlead.rollout.control import Controller, Look
from fairlead.rollout.telemetry import Telemetry

log = logging.getLogger(__name__)

PAUSE_SECONDS = 30.0
"""Where nothing says how often to look."""


@dataclass
class Watch:
    """The loop around a controller."""

    controller: Controller
    telemetry: Telemetry
    on_look: Callable[[str, Look], None] = lambda model, look: None
    """Told of each look."""
    _said: dict[str, str] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set. A look that has begun comes to its end.

        Raises:
            CountsMissingError: at the start, no model has the metrics that are read.
        """
        checked = False
        while not stop.is_set():
            checked = checked or self._require()
            stop.wait(self.look_at_all(stop))

    def look_at_all(self, stop: threading.Event | None = None) -> float:
        """Look at each release once; returns after how many seconds to look again."""
        try:
            models = self.controller.models()
        except RolloutError as error:
            self._say("", logging.ERROR, str(error))
            self.telemetry.reached(False)
            return PAUSE_SECONDS
        looks = [self._look(model) for model in models if stop is None or not stop.is_set()]
        self.telemetry.reached(None not in looks)
        return min((look.every_seconds for look in looks if look), default=PAUSE_SECONDS)

    def _look(self, model: str) -> Look | None:
        """None: nothing could be read, or written."""
        try:
            look = self.controller.look(model)
        except RolloutError as error:
            self._say(model, logging.ERROR, str(error))
            return None
        self.telemetry.looked(model, look)
        if look.unavailable is not None:
            self._say(model, logging.WARNING, f"{look.reason} {look.unavailable}")
        else:
            self._say(model, logging.WARNING if look.result == "put_back" else logging.INFO, _told(look))
        self.on_look(model, look)
        return look

    def _require(self) -> bool:
        """Whether all metrics are there; False: it could not be asked."""
        try:
            models = self.controller.models()
        except RolloutError:
            return False  # the look that follows says so
        missing: list[CountsMissingError] = []
        for model in models:
            try:
                self.controller.counters.require(model)
            except CountsMissingError as error:
                missing.append(error)
                self.telemetry.blind(model)
                self._say(model, logging.ERROR, str(error))
            except CountsError as error:
                self.telemetry.blind(model)
                self._say(model, logging.WARNING, str(error))
                return False
        if missing and len(missing) == len(models):
            raise missing[0]
        return True

    def _say(self, model: str, level: int, text: str) -> None:
        """Once, until there is something else to say."""
        if self._said.get(model) != text:
            self._said[model] = text
            log.log(level, "%s: %s", model or self.controller.environment, text)


def _told(look: Look) -> str:
    release = look.release
    made = f" [{look.result} in {look.commit[:10]}]" if look.commit else ""
    share = f" at {release.weight}%" if release.weight else ""
    return f"{release.stage}{share}: {look.reason}{made}"
