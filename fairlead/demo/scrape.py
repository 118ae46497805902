"""What a Prometheus does for a cluster, while a demo runs: every endpoint's metrics, once a second."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from prometheus_client import CollectorRegistry, generate_latest

from fairlead.panels.recording import Recording

INTERVAL_SECONDS = 1.0
STEP_SECONDS = 1.0


@dataclass
class Scraper:
    """Keeps the texts; they are read when all is over, so that nothing measured here waits for it."""

    targets: Mapping[str, str]
    """Name of an instance → its URL. One that does not answer has no samples then."""
    registries: Mapping[str, CollectorRegistry]
    """The same, of this process."""
    _texts: list[tuple[float, str, str]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Scrape for as long as the block runs."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def recording(self) -> Recording:
        """All that was scraped, with the instance as a label, as Prometheus adds it."""
        found = Recording("canary", INTERVAL_SECONDS, STEP_SECONDS)
        for at, instance, text in self._texts:
            found.add_text(at, text, instance=instance)
        return found

    def _run(self) -> None:
        began, number = time.monotonic(), 0
        with httpx.Client(timeout=INTERVAL_SECONDS, trust_env=False) as client:
            while not self._stop.wait(max(0.0, began + number * INTERVAL_SECONDS - time.monotonic())):
                self._scrape(client)
                number = int((time.monotonic() - began) / INTERVAL_SECONDS) + 1

    def _scrape(self, client: httpx.Client) -> None:
        # One instant for all: what is added up was read together.
        at = time.time()
        for instance, url in self.targets.items():
            try:
                answer = client.get(f"{url}/metrics").raise_for_status()
            except httpx.HTTPError:
                continue  # a candidate's server runs only while there is one
            self._texts.append((at, instance, answer.text))
        for instance, registry in self.registries.items():
            self._texts.append((at, instance, generate_latest(registry).decode()))
