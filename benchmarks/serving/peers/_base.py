"""What a peer is: a server that can be started as a child process, and how it wants to be asked."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.subject import VECTOR_MODEL
from benchmarks.serving.wires import ENCODERS, Request, Wire, decode
from fairlead.packaging.bundle import MODEL_FILE
from fairlead.packaging.signature import Matrix

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Place:
    """Where a peer runs."""

    bundle: Path
    folder: Path
    """The peer's own, for files it needs; exists."""
    port: int

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.bundle / MODEL_FILE


class Peer:
    """One server with one worker and one thread in ONNX Runtime; it listens on the loopback interface."""

    name: str
    remark: str = ""
    """What a reader of the figures must know."""
    ready_path: str = f"/v2/models/{VECTOR_MODEL}/ready"
    """Answers 200 from when the model can be asked."""
    wires: tuple[Wire, ...] = ("v2 JSON", "v2 binary", "v1")
    checked: bool = True
    """False: it computes nothing."""

    def missing(self) -> str | None:
        """Why it cannot run here; None: it can."""
        return None

    def prepare(self, place: Place) -> None:
        """Write what it needs into its folder; called before each start, with a port of its own."""

    def command(self, place: Place) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def environ(self, place: Place) -> Mapping[str, str]:
        """Variables beside those of this process."""
        return {}

    def request(self, wire: Wire, rows: Matrix) -> Request | None:
        """The rows as a request; None where it does not speak that protocol."""
        return ENCODERS[wire](rows) if wire in self.wires else None

    def decode(self, body: bytes, json_length: str | None) -> Matrix:
        """The probabilities in an answer, shape [n, 2]."""
        return decode(body, json_length)


def run_program(name: str, *arguments: object) -> list[str]:
    """The command for a file of `benchmarks/serving/programs/`, in this environment."""
    return [sys.executable, "-m", f"benchmarks.serving.programs.{name}", *map(str, arguments)]
