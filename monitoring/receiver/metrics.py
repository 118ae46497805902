"""What the receiver counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Metrics of one receiver, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rows = Counter("fairlead_receiver_rows", "Rows kept.", ["model"], registry=self.registry)
        self.duplicates = Counter(
            "fairlead_receiver_duplicate_rows", "Rows that came again.", ["model"], registry=self.registry
        )
        self.requests = Counter(
            "fairlead_receiver_requests", "Requests answered, by status.", ["status"], registry=self.registry
        )
        self.waiting = Gauge("fairlead_receiver_waiting_rows", "Rows that wait to be kept.", registry=self.registry)
        self.commit_seconds = Histogram(
            "fairlead_receiver_commit_seconds", "Time of one commit.", registry=self.registry
        )
