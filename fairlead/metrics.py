"""Every metric that Fairlead emits, by name: servers make them from here, and rules and dashboards may use no other."""

from typing import Literal, NamedTuple

LATENCY_SECONDS = (
    *(0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0),
)
"""Upper bounds of latency buckets, with the usual objectives among them. Each is at most 1.67 times the one before: a
rollout counts answers above one near the 95th percentile, and there must be one."""


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

COLLECTOR_ROWS = Metric("fairlead_collector_rows_total", "counter", ("model",), "Rows of records that were kept.")
COLLECTOR_DUPLICATES = Metric(
    "fairlead_collector_duplicate_rows_total", "counter", ("model",), "Rows of records that came again."
)
COLLECTOR_LATE = Metric(
    "fairlead_collector_late_rows_total", "counter", ("model",), "Rows kept more than an hour after their answer."
)
COLLECTOR_SKEWED = Metric(
    "fairlead_collector_skewed_rows_total",
    "counter",
    ("model",),
    "Rows whose answer lies more than a minute in the future: the sender's clock is wrong.",
)
COLLECTOR_REQUESTS = Metric("fairlead_collector_requests_total", "counter", ("status",), "Requests that were answered.")
COLLECTOR_WAITING = Metric("fairlead_collector_waiting_rows", "gauge", (), "Rows that wait to be kept.")
COLLECTOR_COMMIT_SECONDS = Metric("fairlead_collector_commit_seconds", "histogram", (), "One commit to a table.")
COLLECTOR_COMMIT_ERRORS = Metric(
    "fairlead_collector_commit_errors_total", "counter", ("model",), "Commits that failed; their senders try again."
)
COLLECTOR_LAST_COMMIT = Metric(
    "fairlead_collector_last_commit_timestamp_seconds",
    "gauge",
    ("model",),
    "When rows of a model were last kept, in seconds since 1970.",
)
COLLECTOR_HALVES = Metric(
    "fairlead_collector_unpaired_payloads",
    "gauge",
    (),
    "Requests and answers of KServe's payload logger that wait for each other.",
)
COLLECTOR_PAYLOADS = Metric(
    "fairlead_collector_payloads_total",
    "counter",
    ("result",),
    "Payloads of KServe's logger. result: paired, answer_only, request_only, unreadable.",
)

COLLECTOR = (
    COLLECTOR_ROWS,
    COLLECTOR_DUPLICATES,
    COLLECTOR_LATE,
    COLLECTOR_SKEWED,
    COLLECTOR_REQUESTS,
    COLLECTOR_WAITING,
    COLLECTOR_COMMIT_SECONDS,
    COLLECTOR_COMMIT_ERRORS,
    COLLECTOR_LAST_COMMIT,
    COLLECTOR_HALVES,
    COLLECTOR_PAYLOADS,
)
"""What the collector of records emits."""

MONITOR_LAST_RUN = Metric(
    "fairlead_monitor_last_run_timestamp_seconds",
    "gauge",
    ("model", "detector"),
    "When a job that watches a model last ended, well or not, in seconds since 1970.",
)
MONITOR_LAST_SUCCESS = Metric(
    "fairlead_monitor_last_success_timestamp_seconds",
    "gauge",
    ("model", "detector"),
    "When it last had a result; all its other figures are of then. 0: never.",
)
MONITOR_FAILED = Metric(
    "fairlead_monitor_failed",
    "gauge",
    ("model", "detector", "error"),
    "1 if its last run failed, else 0. error: the class of the error, such as EngineMissingError.",
)
MONITOR_UNREADABLE = Metric(
    "fairlead_monitor_unreadable_results",
    "gauge",
    (),
    "Results that cannot be read now: what they said is not among the figures. -1: none can be listed.",
)

MONITOR = (MONITOR_LAST_RUN, MONITOR_LAST_SUCCESS, MONITOR_FAILED, MONITOR_UNREADABLE)
"""What the collector says of every job that watches, beside the job's own figures."""

DRIFT_ALARM = Metric(
    "fairlead_drift_alarm",
    "gauge",
    ("model", "version", "kind"),
    "1 if enough of the last windows show drift of a kind, else 0. kind: input, feature, prediction.",
)
DRIFT_WINDOWS = Metric(
    "fairlead_drift_windows",
    "gauge",
    ("model", "version", "kind", "verdict"),
    "Of the windows that an alarm counts, how many have a verdict. verdict: drift, no_drift, not_enough_data.",
)
DRIFT_NOT_ENOUGH_DATA = Metric(
    "fairlead_drift_not_enough_data",
    "gauge",
    ("model", "version", "kind"),
    "1 if the newest window is too small or not comparable to say anything, else 0. It is not the same as no drift.",
)
DRIFT_FEATURE = Metric(
    "fairlead_drift_feature",
    "gauge",
    ("model", "version", "kind", "feature", "test"),
    "1 if a column counts as drifted by a test in the newest judged window, else 0.",
)
DRIFT_EFFECT = Metric(
    "fairlead_drift_effect",
    "gauge",
    ("model", "version", "kind", "feature", "test"),
    "How large a column's difference is, on the test's scale. test: ks, psi, chi_square, missing.",
)
DRIFT_P_VALUE = Metric(
    "fairlead_drift_p_value",
    "gauge",
    ("model", "version", "kind", "feature", "test"),
    "Chance of so large a difference without drift, corrected for the number of tests.",
)
DRIFT_WINDOW_ROWS = Metric(
    "fairlead_drift_window_rows", "gauge", ("model", "version"), "Rows of the newest window, one an entity."
)
DRIFT_REFERENCE_ROWS = Metric(
    "fairlead_drift_reference_rows",
    "gauge",
    ("model", "version"),
    "Rows of the reference that the newest window was compared with.",
)
DRIFT_WINDOW_END = Metric(
    "fairlead_drift_window_end_timestamp_seconds",
    "gauge",
    ("model", "version"),
    "Where the newest window ends, in seconds since 1970.",
)
DRIFT_ENGINE = Metric(
    "fairlead_drift_engine_info", "gauge", ("model", "engine", "library"), "1 for the engine that compared, by version."
)
UPSTREAM_ALARM = Metric(
    "fairlead_upstream_alarm",
    "gauge",
    ("model", "cause"),
    "1 if what feeds a model is not as it should be, else 0. cause: quality, freshness, missing, clock.",
)
UPSTREAM_FRESHNESS = Metric(
    "fairlead_upstream_freshness_seconds",
    "gauge",
    ("model", "view"),
    "Age of the newest row of a feature view; -1 where there is none.",
)
UPSTREAM_MISSING = Metric(
    "fairlead_upstream_missing_ratio",
    "gauge",
    ("model", "version", "feature"),
    "Share of the newest window's rows without a value of a looked-up feature.",
)
UPSTREAM_BREACHES = Metric(
    "fairlead_upstream_breaches",
    "gauge",
    ("dataset", "severity"),
    "Rules on data that the newest quality gate of a dataset found broken. severity: critical, warning.",
)

DRIFT = (
    DRIFT_ALARM,
    DRIFT_WINDOWS,
    DRIFT_NOT_ENOUGH_DATA,
    DRIFT_FEATURE,
    DRIFT_EFFECT,
    DRIFT_P_VALUE,
    DRIFT_WINDOW_ROWS,
    DRIFT_REFERENCE_ROWS,
    DRIFT_WINDOW_END,
    DRIFT_ENGINE,
    UPSTREAM_ALARM,
    UPSTREAM_FRESHNESS,
    UPSTREAM_MISSING,
    UPSTREAM_BREACHES,
)
"""What the drift job finds; its detector is called `drift`."""

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
GATEWAY_MIRRORED_SECONDS = Metric(
    "fairlead_gateway_mirrored_seconds",
    "histogram",
    ("backend",),
    "From a copy's head to the last byte of its answer.",
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
    GATEWAY_MIRRORED_SECONDS,
    GATEWAY_CONFIG_LOADED,
    GATEWAY_CONFIG_ERRORS,
)
"""What the local gateway emits. Copies are in none but `GATEWAY_MIRRORED` and `GATEWAY_MIRRORED_SECONDS`."""

ROLLOUT_STAGE = Metric(
    "fairlead_rollout_stage",
    "gauge",
    ("environment", "model", "stage"),
    "1 for the stage a release is in, 0 for the others. stage: idle, shadow, canary, promoted, rolled_back.",
)
ROLLOUT_WEIGHT = Metric(
    "fairlead_rollout_candidate_weight_ratio",
    "gauge",
    ("environment", "model"),
    "Share of the requests that the release gives to the candidate.",
)
ROLLOUT_EVIDENCE = Metric(
    "fairlead_rollout_log_evidence",
    "gauge",
    ("environment", "model", "signal", "of"),
    "Natural logarithm of an e-value at the last look. signal: errors, slow_answers, hard_stop, quality; of: harm, "
    "no_harm.",
)
ROLLOUT_THRESHOLD = Metric(
    "fairlead_rollout_log_evidence_threshold",
    "gauge",
    ("environment", "model", "signal", "of"),
    "The value of the same labels in fairlead_rollout_log_evidence at which it decides.",
)
ROLLOUT_DECISIONS = Metric(
    "fairlead_rollout_decisions_total",
    "counter",
    ("environment", "model", "result"),
    "Changes of a release that were committed or proposed. result: advanced, promoted, rolled_back, asked, settled, "
    "adopted (an edit by hand), put_back (one that breaks a rule), held (a proposal was closed), proposed.",
)
ROLLOUT_LAST_LOOK = Metric(
    "fairlead_rollout_last_look_timestamp_seconds",
    "gauge",
    ("environment", "model"),
    "When the release was last read from Git and, where a candidate has traffic, judged.",
)
ROLLOUT_METRICS_UNAVAILABLE = Metric(
    "fairlead_rollout_metrics_unavailable",
    "gauge",
    ("environment", "model"),
    "1 while the counts of a release, or records and labels that it is judged by, cannot be read: none of it promotes.",
)
ROLLOUT_GIT_UNAVAILABLE = Metric(
    "fairlead_rollout_git_unavailable",
    "gauge",
    ("environment",),
    "1 while a release cannot be read from Git or written there, or its specs are broken: nothing is decided.",
)
ROLLOUT_WAITING = Metric(
    "fairlead_rollout_waits_for_person",
    "gauge",
    ("environment", "model", "reason"),
    "1 while a person is to act. reason: undecided (approve or abort), held (resume), proposed (merge or close).",
)

ROLLOUT = (
    ROLLOUT_STAGE,
    ROLLOUT_WEIGHT,
    ROLLOUT_EVIDENCE,
    ROLLOUT_THRESHOLD,
    ROLLOUT_DECISIONS,
    ROLLOUT_LAST_LOOK,
    ROLLOUT_METRICS_UNAVAILABLE,
    ROLLOUT_GIT_UNAVAILABLE,
    ROLLOUT_WAITING,
)
"""What the controller of releases emits."""

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
LIVE_ESTIMATED_ROC_AUC = Metric(
    "fairlead_live_estimated_roc_auc",
    "gauge",
    ("model", "version"),
    "What the scores of the same rows promise, if each is the chance of its label. Alone it is blind to concept drift.",
)
LIVE_JUDGED = Metric(
    "fairlead_live_judged",
    "gauge",
    ("model", "version"),
    "1 if enough labels are known to judge the version, 0 if not: then its live metrics are absent.",
)
LIVE_DECAY = Metric(
    "fairlead_live_decay",
    "gauge",
    ("model", "version"),
    "1 while the live ROC AUC is below the estimated one by more than the model's `performance.decay`.",
)
LABELS_ROWS = Metric(
    "fairlead_labels_rows",
    "gauge",
    ("model", "version", "state"),
    "Predictions of the last days. state of the label: known, awaited, overdue, early (known before the prediction).",
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
    "Predictions of the last days whose label came again with another value; the newest counts.",
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
