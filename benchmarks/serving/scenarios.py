"""What is asked, and how by many at once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.serving.children import Child
from benchmarks.serving.load import Round, run_round, write_bodies
from benchmarks.serving.subject import draw_rows
from benchmarks.serving.wires import Request, Wire
from fairlead.packaging.session import ScoringSession
from fairlead.packaging.signature import Matrix

BATCHES = 16
"""Different bodies that take turns: one alone would stay in the caches of a server."""
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Scenario:
    """Requests of one kind over a number of connections."""

    wire: Wire
    rows: int
    connections: int

    @property
    def name(self) -> str:
        return f"{self.wire}, {self.rows} row{'s' * (self.rows > 1)}, c={self.connections}"

    def batches(self) -> list[Matrix]:
        """The rows of each body."""
        return np.split(draw_rows(BATCHES * self.rows, seed=self.rows), BATCHES)

    def requests(self, child: Child) -> list[Request]:
        """The bodies for one server; empty if it does not speak the protocol."""
        found = (child.peer.request(self.wire, batch) for batch in self.batches())
        return [request for request in found if request is not None]


ONE_ROW = Scenario("v2 JSON", 1, 32)
BINARY = Scenario("v2 binary", 64, 8)
SCENARIOS = (
    Scenario("v2 JSON", 1, 1),
    Scenario("v2 JSON", 1, 8),
    ONE_ROW,
    Scenario("v2 JSON", 64, 8),
    BINARY,
    Scenario("v1", 1, 32),
)


@dataclass(frozen=True)
class Course:
    """One server in one scenario."""

    child: Child
    scenario: Scenario
    requests: list[Request]
    bodies: Path

    def run(self, seconds: float) -> Round:
        """One round."""
        return run_round(self.child, self.requests, self.bodies, self.scenario.connections, seconds)

    def check(self, session: ScoringSession) -> None:
        """Compare the answer to each body with ONNX Runtime's."""
        if not self.child.peer.checked:
            return
        for request, batch in zip(self.requests, self.scenario.batches(), strict=True):
            answer = self.child.peer.decode(*self.child.ask(request))
            difference = float(np.max(np.abs(answer - session.probabilities(batch))))
            if not difference <= TOLERANCE:
                raise SystemExit(f"{self.child.peer.name}: {self.scenario.name}: differs by {difference:.1e}")


def set_course(scenario: Scenario, children: list[Child], folder: Path) -> list[Course]:
    """The servers that speak the scenario's protocol, with their bodies written."""
    courses = []
    for child in children:
        requests = scenario.requests(child)
        if requests:
            bodies = folder / "bodies" / child.peer.name / scenario.name
            write_bodies(requests, bodies)
            courses.append(Course(child, scenario, requests, bodies))
    return courses
