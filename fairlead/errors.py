"""Errors a user can act on: each message states the rule, the value and where it came from."""


class FairleadError(Exception):
    """Base of all errors that are the input's or the environment's fault, not the program's."""


class SpecError(FairleadError):
    """A dataset, model or routes file breaks a rule; the message holds one line a problem."""


class SourceError(FairleadError):
    """A source is missing, unreadable or not of the declared shape."""


class QualityError(FairleadError):
    """A critical expectation failed: nothing is learnt from this data."""


class FeatureError(FairleadError):
    """A feature definition, a feature table or the online store is not as declared."""


class StoreDownError(FeatureError):
    """The online store cannot be reached, or does not answer as Feast's store would."""


class DeadlineError(FeatureError):
    """The online store did not answer in time."""


class TrainingError(FairleadError):
    """There is nothing to train on, or a candidate cannot be fitted."""


class BundleError(FairleadError):
    """A bundle is incomplete, corrupt or does not fit its signature."""


class RegistryError(FairleadError):
    """The registry has no such model, version or alias."""


class PipelineError(FairleadError):
    """A step of a pipeline failed; the message is the step's own."""


class BackendDownError(PipelineError):
    """The pipeline backend cannot be reached, or cannot answer now."""


class HomeError(FairleadError):
    """The home folder cannot be written, is full, or is in use by another run."""


class EndpointError(FairleadError):
    """The endpoint did not start, did not answer or answered wrongly."""


class RecordError(FairleadError):
    """A record of a prediction cannot be made, kept or understood."""


class SpoolFullError(RecordError):
    """There is no room for another record, and none may be given up: the request must not be answered."""


class ScoringError(FairleadError):
    """What is to be scored, or where the scores are to go, is not stated well."""


class RolloutError(FairleadError):
    """A step of a release, its file or the counts it is decided on break a rule."""


class ReleaseConflictError(RolloutError):
    """Somebody else changed the document since it was read: what was decided on it is void."""


class MonitorError(FairleadError):
    """What a job that watches has found cannot be kept or understood."""


class RetrainingError(FairleadError):
    """A retraining log cannot be read or written, or what is asked of it makes no sense."""


class DriftError(FairleadError):
    """Two samples cannot be compared: they do not have the same columns."""


class EngineError(DriftError):
    """What should compare cannot: nobody looks, which is not the same as no drift."""


class EngineMissingError(EngineError):
    """Its library is not there, or is another than the one that is expected."""


class ClusterDownError(FairleadError):
    """The cluster cannot be reached, or does not know who asks."""


class NotAllowedError(FairleadError):
    """The cluster answers, but this user may not read that."""

    def __init__(self, what: str, message: str) -> None:
        """
        Args:
            what: the objects that were asked for.
            message: the cluster's own words.
        """
        super().__init__(message)
        self.what = what


class CountsError(FairleadError):
    """What a release is judged by cannot be read: the monitoring system is away, or has no such metrics."""


class CountsMissingError(CountsError):
    """The monitoring system answers, and does not have the metrics that are read."""


class QueryError(FairleadError):
    """A panel's query is of no shape that can be computed without Prometheus."""
