"""One line a step, on a terminal with a spinner while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from fairlead.report.summary import Step


class ConsoleProgress:
    """`Progress` on a console. The console is bound to its stream: a step may redirect standard output."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._title = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Leave no spinner behind, however the block ends."""
        try:
            yield
        finally:
            self._stop()

    def begin(self, name: str, title: str) -> None:
        self._stop()
        self._title = title
        if self._console.is_terminal:
            self._status = self._console.status(title)
            self._status.start()

    def update(self, text: str) -> None:
        if self._status is not None:
            self._status.update(f"{self._title}  [dim]{text}[/]")

    def end(self, step: Step) -> None:
        self._stop()
        mark, note = ("[dim]=[/]", "unchanged, reused") if step.cached else ("[green]✓[/]", step.detail)
        self._console.print(f"{mark} {step.title:<26} {step.seconds:6.1f} s  [dim]{note}[/]", highlight=False)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
