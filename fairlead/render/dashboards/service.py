"""Rate, errors and duration of a model's endpoint, and what is on its way to a table."""

from fairlead import metrics as m
from fairlead.render.dashboards._base import RATE, Board, Panel, Query, Row, Series, lines, number
from fairlead.spec import ModelSpec


def board(model: ModelSpec) -> Board:
    """One dashboard."""
    series = Series(model.name)
    rows = [_requests(series, model), _features(series), _process(series), _records(series), _gateway(series)]
    return Board("service", f"{model.name}: service", rows)


def _requests(s: Series, model: ModelSpec) -> Row:
    live = 'traffic="live"'
    asked, failed = s.rate(m.REQUESTS, "version", live), s.rate(m.REQUESTS, "version", live, 'status=~"5.."')
    objective = model.slo.latency_p99_ms / 1000
    return Row(
        "Requests",
        [
            number("Versions that answer", s.highest(m.MODEL_INFO, "version, candidate, as_of"), "{{version}}"),
            lines("Requests", s.rate(m.REQUESTS, "version, traffic"), "{{version}} {{traffic}}", "reqps"),
            lines("Answers by status", s.rate(m.REQUESTS, "status, protocol"), "{{status}} {{protocol}}", "reqps"),
            lines(
                "Failed requests",
                f"({failed} or 0 * {asked}) / {asked}",
                "{{version}}",
                "percentunit",
                limit=1 - model.slo.availability,
                said="Status 5xx; the line is what the objective leaves.",
            ),
            Panel(
                "Seconds to an answer",
                [
                    Query(s.quantile(share, m.REQUEST_SECONDS, "version", live), f"{{{{version}}}} {share:.0%}")
                    for share in (0.5, 0.95, 0.99)
                ],
                "s",
                said="The line is the objective of the 99th percentile.",
                limit=objective,
            ),
            lines("Rows scored", s.rate(m.PREDICTIONS, "version, traffic"), "{{version}} {{traffic}}"),
        ],
    )


def _features(s: Series) -> Row:
    cached = s.rate(m.CACHED_FEATURES, "version", 'result="hit"')
    return Row(
        "Features looked up",
        [
            lines("Seconds to look up, 99%", s.quantile(0.99, m.LOOKUP_SECONDS, "version"), "{{version}}", "s"),
            lines("Look-ups without an answer", s.rate(m.FEATURES_UNAVAILABLE, "version"), "{{version}}", "reqps"),
            lines("Rows unknown to a view", s.rate(m.FEATURES_MISSING, "view"), "{{view}}"),
            lines(
                "Rows from the cache",
                f"{cached} / {s.rate(m.CACHED_FEATURES, 'version')}",
                "{{version}}",
                "percentunit",
            ),
        ],
    )


def _process(s: Series) -> Row:
    return Row(
        "Servers",
        [
            lines("Requests that wait", f"sum by (instance) ({s.of(m.IN_FLIGHT)})", "{{instance}}"),
            lines("Requests no model saw", s.rate(m.REJECTED, "reason"), "{{reason}}", "reqps"),
            lines("Requests past the lean lane", s.rate(m.PAST_LANE, "instance"), "{{instance}}", "reqps"),
            lines("Loads of bundles", s.rate(m.LOADS, "result"), "{{result}}"),
        ],
    )


def _records(s: Series) -> Row:
    return Row(
        "Records",
        [
            lines("Events in spools", f"sum by (instance) ({s.of(m.RECORDS_WAITING)})", "{{instance}}"),
            lines("Size of spools", f"sum by (instance) ({s.of(m.RECORDS_WAITING_BYTES)})", "{{instance}}", "bytes"),
            lines("Events by what became of them", s.rate(m.RECORDS, "result"), "{{result}}"),
            lines("Age of the newest commit", s.age(m.COLLECTOR_LAST_COMMIT, "model"), "{{model}}", "s"),
            Panel(
                "Rows kept, and not",
                [
                    Query(s.rate(m.COLLECTOR_ROWS, "model"), "kept"),
                    Query(s.rate(m.COLLECTOR_DUPLICATES, "model"), "came again"),
                    Query(s.rate(m.COLLECTOR_LATE, "model"), "late"),
                    Query(s.rate(m.COLLECTOR_SKEWED, "model"), "from the future"),
                ],
            ),
            lines("Failed commits", s.rate(m.COLLECTOR_COMMIT_ERRORS, "model"), "{{model}}"),
            lines("Seconds of a commit, 99%", s.quantile(0.99, m.COLLECTOR_COMMIT_SECONDS, ""), "99%", "s"),
            lines("Rows that wait in the collector", f"sum({s.of(m.COLLECTOR_WAITING)})", "rows"),
            lines("Requests to the collector", s.rate(m.COLLECTOR_REQUESTS, "status"), "{{status}}", "reqps"),
            lines("Payloads of KServe's logger", s.rate(m.COLLECTOR_PAYLOADS, "result"), "{{result}}"),
            lines("Payloads that wait for their half", f"sum({s.of(m.COLLECTOR_HALVES)})", "halves"),
        ],
    )


def _gateway(s: Series) -> Row:
    errors = f"sum(increase({s.of(m.GATEWAY_CONFIG_ERRORS)}[{RATE}]))"
    return Row(
        "The local gateway",
        [
            lines("Requests by backend", s.rate(m.GATEWAY_REQUESTS, "backend, status"), "{{backend}} {{status}}"),
            lines("Seconds, 99%", s.quantile(0.99, m.GATEWAY_SECONDS, "backend"), "{{backend}}", "s"),
            lines("Requests that wait", f"sum by (backend) ({s.of(m.GATEWAY_IN_FLIGHT)})", "{{backend}}"),
            lines("Copies", s.rate(m.GATEWAY_MIRRORED, "backend, status"), "{{backend}} {{status}}"),
            number("Age of the routes", s.age(m.GATEWAY_CONFIG_LOADED, "instance"), "{{instance}}", "s"),
            lines("Refused routes", errors, "refused"),
        ],
    )
