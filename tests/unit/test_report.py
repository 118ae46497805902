"""The report says what the summary holds, to people and machines, and trusts none of its strings."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from fairlead.evaluation import GateResult
from fairlead.report import numbers, plots, theme, view
from fairlead.report.build import measured
from fairlead.report.html import is_reported, render, write_report
from fairlead.report.summary import (
    CalibrationBin,
    Evaluation,
    FeatureRecord,
    Features,
    MetricRecord,
    Quality,
    Replay,
    ReplayDay,
    RocPoint,
    Sample,
    SliceRecord,
    Summary,
    Trial,
    Tuning,
)
from tests.unit import report_example

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>\x0b\u2028\n"
VOID = {"meta", "br", "img", "link", "input", "hr"}
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href"}


@dataclass
class Page(HTMLParser):
    """What a page consists of; refuses tags that do not match."""

    html: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.unclosed[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def summary() -> Summary:
    return report_example.summary()


@pytest.fixture(scope="module")
def html(summary: Summary) -> str:
    return render(summary)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def bare_page() -> Page:
    return Page(render(report_example.bare()))


def shown(text: str) -> str:
    """As the page's text has it: superscripts are elements there."""
    return text.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "−0123456789"))


def test_every_element_is_closed_and_every_id_is_unique(page: Page) -> None:
    assert page.unclosed == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 20


def test_the_page_loads_nothing(html: str, page: Page) -> None:
    assert not {name for name, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "img", "base"}
    for _, attributes in page.tags:
        assert not LOADING & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert "url(" not in "".join(value or "" for value in attributes.values()).replace("url(#", "")
    assert "@import" not in html
    assert "url(http" not in html


def test_links_stay_in_the_folder_of_the_report(page: Page) -> None:
    targets = [str(attributes["href"]) for attributes in page.named("a")]
    inside = {f"#{name}" for name in view.SECTIONS}
    assert set(targets) == inside | {"data_docs/index.html", "summary.json"}


def test_the_contents_lead_to_sections_that_exist(page: Page) -> None:
    assert [section["id"] for section in page.named("section")] == list(view.SECTIONS)


def test_every_headline_is_on_the_page(summary: Summary, page: Page) -> None:
    lines = view.headlines(summary)
    assert len(lines) == 6
    for line in lines:
        assert line.label in page.text
        assert shown(line.value) in page.text
        assert line.note in page.text


def test_headlines_are_the_figures_of_the_summary(summary: Summary) -> None:
    values = {line.label: line.value for line in view.headlines(summary)}
    assert summary.replay
    assert values == {
        "ROC AUC, test rows": numbers.figure(summary.evaluation.metrics[0].value),
        "ROC AUC, endpoint’s answers": "0.726",
        "Best baseline": "0.635",
        "Rows learnt from": "52,402",
        "Run time": "1 m 12 s",
        "ONNX against fitted model": "2.38 × 10⁻⁷",
    }


def endpoint(summary: Summary, low: float, high: float) -> Summary:
    assert summary.replay
    replay = summary.replay.model_copy(update={"roc_auc_low": low, "roc_auc_high": high})
    return summary.model_copy(update={"replay": replay})


def test_an_endpoint_that_is_worse_than_by_chance_is_remarked_on(summary: Summary) -> None:
    auc = summary.evaluation.metric("roc_auc")
    assert auc
    assert auc.low
    assert auc.high
    worse = endpoint(summary, auc.low - 0.1, auc.low - 0.01)
    assert "harder, or the model is already worse" in view.endpoint_remark(worse)
    assert "harder, or the model is already worse" in Page(render(worse)).text
    assert "days were easier" in view.endpoint_remark(endpoint(summary, auc.high + 0.01, auc.high + 0.1))
    assert view.endpoint_remark(endpoint(summary, auc.low - 0.1, auc.low)) == ""


def test_the_commit_is_shown_whole_with_its_mark_of_changes(summary: Summary) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567+changes"
    run = summary.run.model_copy(update={"git_commit": commit})
    assert commit in Page(render(summary.model_copy(update={"run": run}))).text


def test_keys_that_the_model_does_not_see_are_named(summary: Summary) -> None:
    features = summary.features.model_copy(update={"keys": ("tailnum",)})
    assert "it also needs tailnum" in Page(render(summary.model_copy(update={"features": features}))).text


def test_trials_that_were_stopped_early_are_named_and_do_not_stretch_the_axis() -> None:
    trials = [Trial(number=n, candidate="a", value=0.7 + n / 100, seconds=1) for n in range(3)]
    pruned = Trial(number=3, candidate="a", value=0.1, seconds=1, state="pruned")
    tuning = Tuning(sampler="tpe", seed=1, objective="roc_auc", trials=(*trials, pruned), best=2)
    svg = plots.tuning(tuning)
    assert "1 were stopped early: mean of the folds so far" in svg
    assert "0.10" not in svg
    assert "0.70" in svg
    assert view.stopped_early(tuning)
    assert not view.stopped_early(tuning.model_copy(update={"trials": tuple(trials)}))


@pytest.mark.parametrize(
    ("observed", "verdict"), [(0.1, "over-predicts"), (0.4, "under-predicts"), (0.302, "agree with what happens")]
)
def test_the_calibration_says_whether_scores_are_too_high_or_too_low(observed: float, verdict: str) -> None:
    bins = (CalibrationBin(mean_predicted=0.3, observed=observed, rows=100),)
    assert verdict in view.bias(Evaluation(calibration=bins))


def test_long_names_of_features_stay_different_in_the_plot() -> None:
    names = [f"carrier_delays_with_a_long_name__share_late_{days}d" for days in (1, 14)]
    records = tuple(FeatureRecord(name=name, kind="number", source="feature", importance=0.1) for name in names)
    svg = plots.importance(Features(records=records))
    assert "share_late_1d<" in svg
    assert "share_late_14d<" in svg


def test_slices_that_are_not_drawn_are_counted() -> None:
    slices = [SliceRecord(column="origin", value=str(n), rows=500, roc_auc=0.7) for n in range(plots.TOP_SLICES + 2)]
    far = SliceRecord(column="origin", value="far", rows=3, roc_auc=0.05, enough_rows=False)
    evaluation = Evaluation(slices=(*slices, far))
    assert plots.slices_left_out(evaluation) == 3
    assert plots.slices_left_out(Evaluation()) == 0


def test_a_gate_without_a_value_says_whether_there_was_nothing_to_measure() -> None:
    assert measured(GateResult("champion", True, "", None, "")) == "no champion yet"
    assert measured(GateResult("slices.origin.roc_auc", True, "", None, "")) == "nothing to judge"
    assert measured(GateResult("roc_auc", False, "", None, "")) == "not measured"
    assert measured(GateResult("roc_auc", True, "", 0.71234, "")) == "0.7123"


def test_a_report_that_says_the_same_is_found(summary: Summary, tmp_path: Path) -> None:
    assert not is_reported(summary, tmp_path)
    write_report(summary, tmp_path)
    later = summary.run.model_copy(update={"seconds": 1.0, "started_at": datetime(2030, 1, 1, tzinfo=UTC)})
    assert is_reported(summary.model_copy(update={"run": later}), tmp_path)
    other = summary.registry.model_copy(update={"aliases": ("champion",)})
    assert not is_reported(summary.model_copy(update={"registry": other}), tmp_path)


def test_an_accepted_model_is_announced_with_its_alias(page: Page) -> None:
    assert "✓ Accepted: version 3 of flight-delay is now the challenger" in page.text
    assert "Refused" not in page.text


def test_a_refused_model_says_why_and_shows_the_gate(bare_page: Page) -> None:
    assert "✗ Refused" in bare_page.text
    for reason in report_example.bare().registry.reasons:
        assert reason in bare_page.text
    assert "✗ failed" in bare_page.text
    assert "Accepted" not in bare_page.text


def test_what_is_missing_is_said_and_not_drawn(bare_page: Page) -> None:
    assert bare_page.named("svg") == []
    assert [section["id"] for section in bare_page.named("section")] == list(view.SECTIONS)
    for sentence in ("The endpoint was not asked", "No champion was compared", "No version of flight-delay was"):
        assert sentence in bare_page.text


@pytest.mark.parametrize("word", ["None", "Undefined", "nan", "[]", "{}"])
def test_no_python_shows_through(page: Page, bare_page: Page, word: str) -> None:
    for text in (page.text, bare_page.text):
        assert not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)


def test_every_plot_has_a_name_for_those_who_cannot_see_it(page: Page) -> None:
    drawings = page.named("svg")
    assert len(drawings) == 7
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert len(str(attributes["aria-label"])) > 30


def test_a_plot_is_also_a_file_of_its_own(summary: Summary) -> None:
    for svg in view.drawings(summary).values():
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert {"width", "height", "viewBox"} <= set(root.attrib)


def test_a_screen_reader_finds_a_heading_for_every_section_and_a_label_for_every_table(page: Page) -> None:
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert {section["aria-labelledby"] for section in page.named("section")} <= ids
    regions = [a for a in page.named("div") if a.get("role") == "region"]
    assert len(regions) == len(page.named("table"))
    assert all(region["aria-label"] for region in regions)


def test_hostile_strings_stay_text() -> None:
    plain = report_example.summary()
    feature = FeatureRecord(
        name=HOSTILE, kind="number", source="feature", view=HOSTILE, missing_share=0.5, importance=1
    )
    sample = Sample(request={HOSTILE: HOSTILE}, response={"nested": [HOSTILE]}, actual=True)
    slice_ = SliceRecord(column=HOSTILE, value=HOSTILE, rows=900, roc_auc=0.7)
    trial = Trial(number=0, candidate=HOSTILE, params={HOSTILE: HOSTILE}, value=0.7, seconds=1)
    assert plain.replay
    summary = plain.model_copy(
        update={
            "features": Features(records=(feature,), importance_measure=HOSTILE),
            "tuning": Tuning(sampler="tpe", seed=1, objective=HOSTILE, trials=(trial,), best=0),
            "evaluation": plain.evaluation.model_copy(update={"slices": (slice_,)}),
            "replay": plain.replay.model_copy(update={"samples": (sample,)}),
        }
    )
    page = Page(render(summary))
    assert not {name for name, _ in page.tags} & {"script", "img"}
    assert page.text.count("<script>alert('x')</script>") > 10
    assert page.unclosed == []


def test_a_link_to_data_docs_cannot_leave_the_folder() -> None:
    for link in ("javascript:alert(1)", "https://example.com", "/etc/passwd"):
        with pytest.raises(ValidationError, match="must be a relative path"):
            Quality(data_docs=link)


def test_equal_summaries_give_equal_pages(html: str) -> None:
    assert render(report_example.summary()) == html


def test_the_page_is_small(html: str) -> None:
    assert len(html.encode()) < 300_000


def test_a_summary_comes_back_from_disk_as_it_was(summary: Summary, tmp_path: Path) -> None:
    for index, original in enumerate((summary, report_example.bare())):
        path = original.write(tmp_path / str(index) / "summary.json")
        assert Summary.read(path) == original


def test_the_report_is_two_files_and_leaves_nothing_beside_them(tmp_path: Path) -> None:
    bare = report_example.bare()
    path = write_report(bare, tmp_path / "report")
    assert path.read_text(encoding="utf-8") == render(bare)
    assert Summary.read(path.with_name("summary.json")) == bare
    assert sorted(file.name for file in path.parent.iterdir()) == ["report.html", "summary.json"]


def test_an_old_report_survives_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = report_example.bare().write(tmp_path / "summary.json")
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        report_example.summary().write(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_an_undefined_figure_is_absent_and_an_impossible_one_is_refused() -> None:
    assert SliceRecord(column="origin", value="EWR", rows=3, roc_auc=float("nan")).roc_auc is None
    assert CalibrationBin(mean_predicted=0.1, observed=0, low=-1e-17, rows=3).low == 0
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        SliceRecord(column="origin", value="EWR", rows=3, roc_auc=1.2)
    with pytest.raises(ValidationError, match="finite number"):
        MetricRecord(name="log_loss", value=float("inf"))


def test_a_summary_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text('{"colour": "blue"}')
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Summary.read(path)


def test_the_smallest_of_everything_can_be_drawn() -> None:
    one = Evaluation(
        roc=(RocPoint(false_positive_rate=0, true_positive_rate=0),),
        calibration=(CalibrationBin(mean_predicted=0, observed=0, rows=0),),
        slices=(SliceRecord(column="origin", value="EWR", rows=3, roc_auc=0, enough_rows=False),),
    )
    pruned = Trial(number=4, candidate="logistic", value=0.5, state="pruned", seconds=0)
    now = datetime(2013, 4, 1, tzinfo=UTC)
    day = Replay(start=now, end=now, requests=1, answered=0, by_day=(ReplayDay(date=date(2013, 4, 1), requests=1),))
    drawn = [
        plots.roc(one),
        plots.calibration(one),
        plots.slices(one),
        plots.tuning(Tuning(sampler="grid", seed=0, objective="log_loss", trials=(pruned,))),
        plots.replay(day),
    ]
    assert not [svg for svg in drawn if "NaN" in svg]


def test_every_day_of_a_week_has_its_label(html: str) -> None:
    for day in range(25, 32):
        assert f">{day} Mar</text>" in html


def test_a_year_of_days_has_few_labels() -> None:
    start = date(2013, 1, 1).toordinal()
    days = tuple(ReplayDay(date=date.fromordinal(start + i), requests=900 + i, roc_auc=0.7) for i in range(365))
    now = datetime(2013, 4, 1, tzinfo=UTC)
    svg = plots.replay(Replay(start=now, end=now, requests=1, answered=1, by_day=days))
    assert 3 <= len(re.findall(r">\d+ [A-Z][a-z]{2}<", svg)) <= 12


def test_the_best_so_far_falls_where_lower_is_better() -> None:
    values = [0.5, 0.6, 0.4]
    trials = tuple(Trial(number=i, candidate="a", value=v, seconds=1) for i, v in enumerate(values))
    svg = plots.tuning(Tuning(sampler="random", seed=0, objective="log_loss", trials=trials))
    assert "the best reaches 0.400" in svg


def test_ids_of_two_plots_differ_and_references_follow() -> None:
    inside = '<g id="c" clip-path="url(#c)"><path d="M1"/></g>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{inside}</svg>'
    first, second = (theme._for_a_page(svg, name, "A plot") for name in ("one", "two"))
    assert 'id="one-0"' in first
    assert 'clip-path="url(#one-0)"' in first
    assert "one-0" not in second


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_the_page(dark: bool) -> None:
    def shade(colour: str) -> str:
        return theme.DARK[colour] if dark else colour

    for colour, least in ((theme.INK, 7), (theme.MUTED, 4.5), (theme.MODEL, 4.5), (theme.QUIET, 3)):
        assert contrast(shade(colour), shade(theme.PAPER)) >= least, colour


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio"."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dim + 0.05)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.74, "0.740"), (0.0184, "0.0184"), (1, "1.00"), (12.34, "12.3"), (1040.1, "1,040"), (0, "0"), (None, "–"),
        (2.38e-7, "2.38 × 10⁻⁷"), (-0.0017, "−0.00170"), (0.9996, "1.00"), (123456.7, "123,457"),
    ],
)  # fmt: skip
def test_figures_have_three_significant_digits(value: float | None, text: str) -> None:
    assert numbers.figure(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.084, "84 ms"), (0.96, "1.0 s"), (4.24, "4.2 s"), (9.97, "10 s"), (59.7, "1 m 00 s"), (72.3, "1 m 12 s"),
        (3900, "1 h 05 m"),
    ],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (1, "100%"), (0.1234, "12.3%"), (0.0001, "<0.1%"), (0.99999, ">99.9%")]
)
def test_a_share_that_is_not_nothing_never_reads_as_nothing(share: float, text: str) -> None:
    assert numbers.percent(share) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(512, "512 B"), (14200, "14.2 kB"), (1_310_000, "1.31 MB"), (2 * 10**12, "2,000 GB")]
)
def test_sizes_have_a_unit(size_bytes: int, text: str) -> None:
    assert numbers.size(size_bytes) == text


def test_whole_numbers_of_a_column_keep_their_digits() -> None:
    assert [numbers.value(x) for x in (23.0, -21.5, 1272, None)] == ["23", "−21.5", "1,272", "–"]


def test_days_name_a_month_and_a_year_once() -> None:
    assert view.days(date(2013, 3, 25), date(2013, 3, 31)) == "25 to 31 March 2013"
    assert view.days(date(2013, 1, 17), date(2013, 3, 17)) == "17 January to 17 March 2013"
    assert view.days(date(2012, 12, 30), date(2013, 1, 2)) == "30 December 2012 to 2 January 2013"
    assert view.days(date(2013, 3, 1), date(2013, 3, 1)) == "1 March 2013"


def test_intervals_with_a_negative_end_use_a_word() -> None:
    assert numbers.interval(0.731, 0.753) == "0.731–0.753"
    assert numbers.interval(-0.0017, 0.0262) == "−0.00170 to 0.0262"
    assert numbers.interval(None, 0.7) == ""
