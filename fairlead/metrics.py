"""Every metric that Fairlead emits, by name: servers make them from here, and rules and dashboards may use no other."""

from typing import Literal, NamedTuple

LATENCY_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of latency buckets: each at most 2.5 times the one before, with the usual objectives among them."""


class Metric(NamedTuple):
    """A metric as Prometheus knows it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


REQUESTS = Metric(
    "fairlead_requests_total",
    "counter",
    ("model", "version", "protocol", "status", "traffic"),
    "Requests that were answered. protocol: v1, v2, grpc; status: HTTP's, also for gRPC; traffic: live or mirrored.",
)
REQUEST_SECONDS = Metric(
    "fairlead_request_seconds",
    "histogram",
    ("model", "version", "traffic"),
    "From a request's last byte to its answer's first, whatever the status.",
)
PREDICTIONS = Metric("fairlead_predictions_total", "counter", ("model", "version", "traffic"), "Rows that were scored.")
IN_FLIGHT = Metric("fairlead_requests_in_flight", "gauge", (), "Requests that wait for their answer.")
REJECTED = Metric(
    "fairlead_requests_rejected_total",
    "counter",
    ("reason",),
    "Requests that no model saw. reason: overload, too_large, media_type.",
)
PAST_LANE = Metric(
    "fairlead_past_lane_requests_total",
    "counter",
    (),
    "Inference over HTTP that the SDK's slower route answered: mistakes, and what the lean lane does not understand.",
)
FEATURES_MISSING = Metric(
    "fairlead_features_missing_total",
    "counter",
    ("model", "version", "view"),
    "Rows whose entity a view did not know, or knew too long ago.",
)
FEATURES_UNAVAILABLE = Metric(
    "fairlead_features_unavailable_total",
    "counter",
    ("model", "version"),
    "Look-ups that the online store did not answer in time.",
)
LOOKUP_SECONDS = Metric(
    "fairlead_feature_lookup_seconds", "histogram", ("model", "version"), "One look-up of a request."
)
CACHED_FEATURES = Metric(
    "fairlead_feature_cache_rows_total",
    "counter",
    ("model", "version", "result"),
    "Rows of the online store that a model with `cache_seconds` read. result: hit, miss.",
)
MODEL_INFO = Metric(
    "fairlead_model_info",
    "gauge",
    ("model", "version", "digest", "candidate", "as_of"),
    "1 for each version that answers. digest: the first 12 of the bundle's SHA-256.",
)
LOADS = Metric(
    "fairlead_model_loads_total", "counter", ("model", "result"), "Loads of bundles while serving. result: ok, refused."
)
RECORDS_WAITING = Metric(
    "fairlead_records_waiting", "gauge", (), "Events in the spool that no collector has taken yet."
)
RECORDS_WAITING_BYTES = Metric("fairlead_records_waiting_bytes", "gauge", (), "Size of the spool.")
RECORDS = Metric(
    "fairlead_records_total",
    "counter",
    ("result",),
    "Events by what became of them. result: delivered, dropped, rejected, refused, torn.",
)

SERVER = (
    REQUESTS,
    REQUEST_SECONDS,
    PREDICTIONS,
    IN_FLIGHT,
    REJECTED,
    PAST_LANE,
    FEATURES_MISSING,
    FEATURES_UNAVAILABLE,
    LOOKUP_SECONDS,
    CACHED_FEATURES,
    MODEL_INFO,
    LOADS,
    RECORDS_WAITING,
    RECORDS_WAITING_BYTES,
    RECORDS,
)
"""What a model server emits, beside the SDK's own `request_…_seconds`."""

RECEIVER_ROWS = Metric("fairlead_receiver_rows_total", "counter", ("model",), "Rows of records that were kept.")
RECEIVER_DUPLICATES = Metric(
    "fairlead_receiver_duplicate_rows_total", "counter", ("model",), "Rows of records that came again."
)
RECEIVER_REQUESTS = Metric("fairlead_receiver_requests_total", "counter", ("status",), "Requests that were answered.")
RECEIVER_WAITING = Metric("fairlead_receiver_waiting_rows", "gauge", (), "Rows that wait to be kept.")
RECEIVER_COMMIT_SECONDS = Metric("fairlead_receiver_commit_seconds", "histogram", (), "One commit to a table.")

RECEIVER = (RECEIVER_ROWS, RECEIVER_DUPLICATES, RECEIVER_REQUESTS, RECEIVER_WAITING, RECEIVER_COMMIT_SECONDS)
"""What the receiver of records emits."""

GATEWAY_REQUESTS = Metric(
    "fairlead_gateway_requests_total",
    "counter",
    ("backend", "status"),
    "Requests that were answered; no backend where none was chosen; status 499: the caller left.",
)
GATEWAY_SECONDS = Metric(
    "fairlead_gateway_request_seconds",
    "histogram",
    ("backend",),
    "From a request's head to the last byte of its answer.",
)
GATEWAY_IN_FLIGHT = Metric(
    "fairlead_gateway_in_flight_requests", "gauge", ("backend",), "Requests that a backend has not answered yet."
)
GATEWAY_MIRRORED = Metric(
    "fairlead_gateway_mirrored_total",
    "counter",
    ("backend", "status"),
    "Requests to be copied. status: of the copy's answer, or too_large, incomplete, dropped.",
)
GATEWAY_CONFIG_LOADED = Metric(
    "fairlead_gateway_config_loaded_timestamp_seconds",
    "gauge",
    (),
    "When the routes in use were read, in seconds since 1970.",
)
GATEWAY_CONFIG_ERRORS = Metric(
    "fairlead_gateway_config_errors_total", "counter", (), "Times that the routes file changed and was refused."
)

GATEWAY = (
    GATEWAY_REQUESTS,
    GATEWAY_SECONDS,
    GATEWAY_IN_FLIGHT,
    GATEWAY_MIRRORED,
    GATEWAY_CONFIG_LOADED,
    GATEWAY_CONFIG_ERRORS,
)
"""What the local gateway emits. Copies are in none but `GATEWAY_MIRRORED`."""

LIVE_ROC_AUC = Metric(
    "fairlead_live_roc_auc",
    "gauge",
    ("model", "version", "bound"),
    "Over the last days whose labels are known. bound: value, or low and high of its 95% interval by days.",
)
LIVE_LOG_LOSS = Metric(
    "fairlead_live_log_loss", "gauge", ("model", "version", "bound"), "As fairlead_live_roc_auc; in nats."
)
LIVE_CALIBRATION_ERROR = Metric(
    "fairlead_live_calibration_error", "gauge", ("model", "version", "bound"), "As fairlead_live_roc_auc."
)
LIVE_REFERENCE_ROC_AUC = Metric(
    "fairlead_live_reference_roc_auc",
    "gauge",
    ("model", "version"),
    "What the version reached in its first days of service, or in its test period before those are over.",
)
LIVE_ESTIMATED_ROC_AUC = Metric(
    "fairlead_live_estimated_roc_auc",
    "gauge",
    ("model", "version"),
    "What the newest scores promise without a look at labels: blind to concept drift, so no alert may use it.",
)
LIVE_JUDGED = Metric(
    "fairlead_live_judged",
    "gauge",
    ("model", "version"),
    "1 if enough labels are known to judge the version, 0 if not: then its live metrics are absent.",
)
LIVE_DECAY = Metric(
    "fairlead_live_decay", "gauge", ("model", "version"), "1 while the live ROC AUC is below its reference for sure."
)
LABELS_ROWS = Metric(
    "fairlead_labels_rows",
    "gauge",
    ("model", "version", "state"),
    "Predictions of the last days by their label. state: known, awaited, overdue (beyond the longest usual delay).",
)
LABELS_OVERDUE_RATIO = Metric(
    "fairlead_labels_overdue_ratio",
    "gauge",
    ("model", "version"),
    "Share without a label among predictions that are older than the longest usual delay.",
)
LABELS_CONFLICTING_ROWS = Metric(
    "fairlead_labels_conflicting_rows",
    "gauge",
    ("model",),
    "Predictions of the last days whose label came again with another value; the first one known counts.",
)
LABEL_DELAY_SECONDS = Metric(
    "fairlead_label_delay_seconds",
    "gauge",
    ("model", "version", "quantile"),
    "From a prediction to its label. quantile: 0.5, 0.95.",
)
LOSS_CHANGE = Metric(
    "fairlead_loss_change",
    "gauge",
    ("model", "version", "detector"),
    "1 if the version's log loss has risen since it began to serve. detector: adwin, page_hinkley.",
)
LOSS_CHANGE_TIMESTAMP = Metric(
    "fairlead_loss_change_timestamp_seconds",
    "gauge",
    ("model", "version", "detector"),
    "When a detector last found a rise, in seconds since 1970; absent before the first.",
)
PERFORMANCE_LAST_RUN = Metric(
    "fairlead_performance_last_run_timestamp_seconds",
    "gauge",
    ("model",),
    "When labels were last joined to records, in seconds since 1970.",
)

PERFORMANCE = (
    LIVE_ROC_AUC,
    LIVE_LOG_LOSS,
    LIVE_CALIBRATION_ERROR,
    LIVE_REFERENCE_ROC_AUC,
    LIVE_ESTIMATED_ROC_AUC,
    LIVE_JUDGED,
    LIVE_DECAY,
    LABELS_ROWS,
    LABELS_OVERDUE_RATIO,
    LABELS_CONFLICTING_ROWS,
    LABEL_DELAY_SECONDS,
    LOSS_CHANGE,
    LOSS_CHANGE_TIMESTAMP,
    PERFORMANCE_LAST_RUN,
)
"""How the versions that serve do on labels that have arrived."""

RETRAINING_STATE = Metric(
    "fairlead_retraining_state",
    "gauge",
    ("model", "state"),
    "1 for the state that holds, 0 for the others. state: ready, running, cooling_down, backing_off, held.",
)
RETRAINING_REQUESTS = Metric(
    "fairlead_retraining_requests_total",
    "counter",
    ("model", "trigger", "answer"),
    "Requests for a retraining. trigger: drift, decay, schedule, person; answer: started, refused, repeated.",
)
RETRAINING_BLOCKED = Metric(
    "fairlead_retraining_blocked",
    "gauge",
    ("model", "reason"),
    "1 while the newest request is refused and nothing was started since. "
    "reason: not_listened_to, held, running, backing_off, cooling_down, budget, few_labels.",
)
RETRAINING_RUNS_IN_MONTH = Metric(
    "fairlead_retraining_runs_in_month", "gauge", ("model",), "Retrainings that were started in this calendar month."
)
RETRAINING_BUDGET = Metric(
    "fairlead_retraining_month_budget", "gauge", ("model",), "Retrainings that may be started in a calendar month."
)
RETRAINING_FAILURES = Metric(
    "fairlead_retraining_consecutive_failures",
    "gauge",
    ("model",),
    "Retrainings that failed since the last one that did not.",
)
RETRAINING_LAST_START = Metric(
    "fairlead_retraining_last_start_timestamp_seconds",
    "gauge",
    ("model",),
    "When the last retraining was started, in seconds since 1970; absent before the first.",
)
RETRAINING_LAST_SUCCESS = Metric(
    "fairlead_retraining_last_success_timestamp_seconds",
    "gauge",
    ("model",),
    "When the last retraining ended well, in seconds since 1970; absent before the first.",
)
RETRAINING_LAST_RUN = Metric(
    "fairlead_retraining_last_run_timestamp_seconds",
    "gauge",
    ("model",),
    "When the brakes were last looked at, in seconds since 1970.",
)

RETRAINING = (
    RETRAINING_STATE,
    RETRAINING_REQUESTS,
    RETRAINING_BLOCKED,
    RETRAINING_RUNS_IN_MONTH,
    RETRAINING_BUDGET,
    RETRAINING_FAILURES,
    RETRAINING_LAST_START,
    RETRAINING_LAST_SUCCESS,
    RETRAINING_LAST_RUN,
)
"""What asks for a retraining, and what the brakes answer."""
