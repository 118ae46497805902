"""Results of jobs that watch in memory, for tests."""

from fairlead.monitors.results import Result


class MemoryResults:
    """`ResultStore` in a dictionary."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, str], Result] = {}

    def write(self, result: Result) -> None:
        self._results[result.model, result.detector] = result

    def read(self, model: str, detector: str) -> Result | None:
        return self._results.get((model, detector))

    def names(self) -> list[tuple[str, str]]:
        return sorted(self._results)
