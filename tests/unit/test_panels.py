"""The dashboards' panels without Prometheus: what their queries find, and that the report has all of them."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge

from fairlead.demo.scrape import Scraper
from fairlead.errors import QueryError
from fairlead.panels.evaluate import evaluate
from fairlead.panels.fill import NOTHING_FOUND, fill, together
from fairlead.panels.query import names, parse
from fairlead.panels.recording import Recording
from fairlead.panels.shown import Boards, PanelShown
from fairlead.render.dashboards import DASHBOARDS, Board, Panel, Query, Row, boards
from fairlead.report.html import render
from fairlead.report.panels import MOST_LINES, drawn_lines, named, told
from tests.http_server import answering
from tests.unit import panels_example as example
from tests.unit import report_example

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def filled() -> Boards:
    return fill(boards(example.model()), example.recording())


@pytest.fixture(scope="module")
def html(filled: Boards) -> str:
    return render(report_example.summary().model_copy(update={"boards": filled.boards}))


def counter(values: list[float], interval: float = 1.0, name: str = "x_total", **labels: str) -> Recording:
    found = Recording("canary", interval, interval)
    for number, value in enumerate(values):
        found.add(number * interval, name, labels, value)
    return found


def value(query: str, recording: Recording, at: float) -> float:
    [only] = evaluate(parse(query), recording, at).values()
    return only


def test_every_panel_of_grafanas_dashboards_is_in_the_report_with_title_and_unit(html: str, filled: Boards) -> None:
    shown = named(filled.boards)
    for board in filled.boards:
        document = json.loads((REPO / DASHBOARDS / f"{example.model().name}-{board.name}.json").read_text())
        grafanas = [
            (panel["title"], panel["fieldConfig"]["defaults"]["unit"])
            for panel in document["panels"]
            if panel["type"] != "row"
        ]
        assert [(panel.title, panel.unit) for row in board.rows for panel in row.panels] == grafanas
        assert document["title"] == board.title
        assert f"<summary>{board.title}</summary>" in html
    for name, panel in shown.items():
        figure = html.partition(f'<figure id="{name}">')[2].partition("</figure>")[0]
        title = panel.title.replace("'", "&#39;")
        assert f"<strong>{title}</strong>" in figure
        assert ("<svg" in figure) == (panel.kind == "lines")
        assert ('<dl class="numbers">' in figure) == (panel.kind == "number")
    assert len(list((REPO / DASHBOARDS).glob(f"{example.model().name}-*.json"))) == len(filled.boards)


def test_every_query_of_every_panel_finds_what_there_is(filled: Boards) -> None:
    empty = [panel.title for panel in named(filled.boards).values() if not panel.lines]
    assert not empty


def test_a_panel_without_data_says_why_and_does_not_vanish() -> None:
    nothing = fill(boards(example.model()), counter([1.0], name="fairlead_requests_total", model="flight-delay"))
    shown = named(nothing.boards).values()
    assert all(panel.missing for panel in shown if not panel.lines)
    html = render(report_example.summary().model_copy(update={"boards": nothing.boards}))
    assert html.count("no data on a laptop: ") == sum(not panel.lines for panel in shown) > 70
    reasons = {panel.title: panel.missing for panel in shown}
    assert "runs no collector" in reasons["Failed commits"]
    assert reasons["Loads of bundles"] == "nothing that it counts has happened"
    assert reasons["Log loss"] == "no month was lived through"


def test_a_query_that_finds_nothing_among_its_metrics_says_so() -> None:
    board = Board("b", "b", [Row("r", [Panel("Columns", [Query("max by (a) (x) > 0", "{{a}}")])])])
    [panel] = named(fill([board], counter([0.0, 0.0], name="x", a="1")).boards).values()
    assert (panel.missing, panel.asked) == (NOTHING_FOUND, True)


def test_of_two_recordings_a_panel_is_filled_from_the_one_that_has_it() -> None:
    board = Board("b", "b", [Row("r", [Panel(name, [Query(f"max by (a) ({name})", "{{a}}")]) for name in ("x", "y")])])
    first, second = counter([1.0], name="x", a="1"), counter([2.0], name="y", a="1")
    second.source = "month"
    shown = named(together(fill([board], first), fill([board], second)).boards)
    assert [(panel.title, panel.source) for panel in shown.values()] == [("x", "canary"), ("y", "month")]


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30), st.integers(2, 60))
def test_an_increase_is_what_was_counted_stretched_to_the_window_and_never_more(
    rises: list[float], window: int
) -> None:
    """Ends are stretched by at most a gap and a tenth each."""
    total, values = 0.0, []
    for rise in rises:
        total += rise
        values.append(total)
    found = evaluate(parse(f"increase(x_total[{window}s])"), counter(values), len(values) - 1)
    seen = values[-min(window, len(values)) :]
    counted, gaps = seen[-1] - seen[0], len(seen) - 1
    [increase] = found.values()
    assert counted * (1 - 1e-9) <= increase <= counted * (gaps + 2.2) / gaps + 1e-9


def test_a_steady_counter_has_its_rate_and_a_restart_does_not_count_backwards() -> None:
    assert value("rate(x_total[4s])", counter([10 + 5 * n for n in range(9)]), 8) == pytest.approx(5)
    assert value("increase(x_total[4s])", counter([100, 110, 2, 12]), 3) == pytest.approx(22 * 4 / 3)


@given(st.lists(st.integers(0, 50), min_size=3, max_size=3), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_the_bucket_that_holds_it(counts: list[int], share: float) -> None:
    recording, bounds, total = Recording("canary", 1, 1), ("0.1", "0.5", "+Inf"), 0
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        for at in range(5):
            recording.add(at, "x_bucket", {"le": bound}, total * at)
    found = evaluate(parse(f"histogram_quantile({share}, sum by (le) (rate(x_bucket[4s])))"), recording, 4)
    if not total:
        assert found == {}
        return
    [quantile] = found.values()
    rank = share * total
    if rank <= counts[0]:
        assert 0 <= quantile <= 0.1 + 1e-9
    else:
        assert 0.1 - 1e-9 <= quantile <= 0.5 + 1e-9, "above the last bound nothing is known but the bound"


def test_operators_bind_and_match_as_in_prometheus() -> None:
    recording = counter([4.0], name="x", a="1")
    recording.add(0.0, "x", {"a": "2"}, 6.0)
    recording.add(0.0, "y", {"a": "2"}, 3.0)
    found = {
        query: {dict(labels).get("a"): number for labels, number in evaluate(parse(query), recording, 0).items()}
        for query in (
            "x - y / y", "max by (a) (x) / max by (a) (y)", "x > 5", "x or 0 * y", "y or 0 * x", "topk(1, x)",
            "bottomk(1, x)", "time() - x", "sum(x)", 'x{a=~"1|3"}', 'x{a!="1"}', 'x{b=~".*"}',
        )
    }  # fmt: skip
    assert found == {
        "x - y / y": {"2": 5.0},
        "max by (a) (x) / max by (a) (y)": {"2": 2.0},
        "x > 5": {"2": 6.0},
        "x or 0 * y": {"1": 4.0, "2": 6.0},
        "y or 0 * x": {"1": 0.0, "2": 3.0},
        "topk(1, x)": {"2": 6.0},
        "bottomk(1, x)": {"1": 4.0},
        "time() - x": {"1": -4.0, "2": -6.0},
        "sum(x)": {None: 10.0},
        'x{a=~"1|3"}': {"1": 4.0},
        'x{a!="1"}': {"2": 6.0},
        'x{b=~".*"}': {"1": 4.0, "2": 6.0},
    }


def test_a_series_ends_when_nobody_tells_it_any_more() -> None:
    recording = counter([1.0, 2.0], name="x")
    assert value("x", recording, 3) == 2
    assert evaluate(parse("x"), recording, 4) == {}


@pytest.mark.parametrize(
    "query",
    ["avg_over_time(x[5m])", "x offset 5m", "sum without (a) (x)", "(x", "x)", "topk(x)", "x[5y]", "x ^ 2", ""],
)
def test_a_query_of_another_shape_is_refused(query: str) -> None:
    with pytest.raises(QueryError, match="a panel's query"):
        parse(query)


def test_the_names_of_a_query_are_those_of_its_series() -> None:
    assert names(parse("time() - max by (le) (a) / sum(rate(b_bucket[5m])) or 0 * c")) == {"a", "b_bucket", "c"}


def test_no_more_lines_are_drawn_than_can_be_told_apart() -> None:
    board = Board("b", "b", [Row("r", [Panel("many", [Query("max by (a) (x)", "{{a}}")])])])
    recording = Recording("canary", 1, 1)
    for at in range(6):
        for number in range(MOST_LINES + 5):
            if at < 2 or number >= 5:
                recording.add(at, "x", {"a": f"{number:02}"}, number)
    [panel] = named(fill([board], recording).boards).values()
    assert len(panel.lines) == MOST_LINES + 5, "summary.json has all"
    assert [line.legend for line in drawn_lines(panel)] == [f"{number:02}" for number in range(5, MOST_LINES + 5)]


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (3, "short", "3"),
        (0.25, "percentunit", "25.0%"),
        (0.0021, "s", "2 ms"),
        (86_400 * 9, "s", "9.0 days"),
        (2e6, "bytes", "2.00 MB"),
    ],
)
def test_a_number_has_the_unit_of_its_panel(number: float, unit: str, text: str) -> None:
    assert told(number, unit) == text  # type: ignore[arg-type]


@pytest.fixture
def endpoint() -> Iterator[str]:
    """One that tells a metric of ours, and one of another."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(
                b'fairlead_x{a="1"} 2\nother_y 3\nfairlead_x_created 4\n' if self.path == "/metrics" else b""
            )

    with answering(Handler) as url:
        yield url


def test_what_answers_is_scraped_with_its_name_and_what_does_not_is_left_out(endpoint: str) -> None:
    registry = CollectorRegistry()
    Gauge("fairlead_z", "z", registry=registry).set(5)
    scraper = Scraper({"server": endpoint, "gone": "http://127.0.0.1:9"}, {"own": registry})
    with scraper.running():
        while not scraper.recording().series.keys() >= {"fairlead_x", "fairlead_z"}:
            pass
    found = scraper.recording().series
    assert found.keys() == {"fairlead_x", "fairlead_z"}
    assert [dict(labels) for labels in found["fairlead_x"]] == [{"a": "1", "instance": "server"}]
    assert [series.values[0] for series in found["fairlead_z"].values()] == [5.0]


def test_legends_are_of_the_labels_of_their_query(filled: Boards) -> None:
    assert not [
        line.legend
        for panel in named(filled.boards).values()
        for line in panel.lines
        if re.search(r"[{}]", line.legend)
    ]


def test_points_are_in_the_order_of_time(filled: Boards) -> None:
    def ordered(panel: PanelShown) -> bool:
        return all(list(line.points) == sorted(line.points) for line in panel.lines)

    assert all(map(ordered, named(filled.boards).values()))
