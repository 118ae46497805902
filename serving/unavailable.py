"""Why a server that is up cannot answer a request now."""

from serving.sdk import ServerNotReady


class Unavailable(ServerNotReady):
    """A model that cannot answer now: 503, or UNAVAILABLE over gRPC."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = self.error_msg = reason


class FeaturesUnavailable(Unavailable):
    """The feature store cannot be read."""
