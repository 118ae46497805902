"""Write the report: one HTML file that opens from disk and loads nothing."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fairlead.files import write_whole
from fairlead.report import numbers, panels, plots, theme, view
from fairlead.report.summary import Summary

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

PAGE = "report.html"
TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(summary: Summary, folder: Path) -> Path:
    """Write `report.html` and `summary.json` into `folder`; a reader sees each as it was or complete.

    Returns:
        The path of the page.
    """
    # The page first: `is_reported` goes by the summary.
    page = write_whole(folder / PAGE, render(summary))
    summary.write(folder / "summary.json")
    return page


def is_reported(summary: Summary, folder: Path) -> bool:
    """A report is there that says the same, but for when the run was and how long it took."""
    try:
        before = Summary.read(folder / "summary.json")
    except (OSError, ValidationError):
        return False
    return (folder / PAGE).is_file() and _lasting(before) == _lasting(summary)


def _lasting(summary: Summary) -> str:
    run = summary.run.model_copy(update={"started_at": summary.run.as_of, "seconds": 0.0, "steps": ()})
    return summary.model_copy(update={"run": run}).model_dump_json()


def render(summary: Summary) -> str:
    """The page as text. Equal summaries give equal pages."""
    from markupsafe import Markup

    drawn = {name: Markup(svg) for name, svg in view.drawings(summary).items()}  # vl-convert has escaped their text
    template = _environment().get_template(TEMPLATE.name)
    return template.render(
        s=summary,
        view=view,
        plots=drawn,
        panels=panels,
        top_features=plots.TOP_FEATURES,
        top_slices=plots.TOP_SLICES,
        left_out=plots.slices_left_out(summary.evaluation),
        dark_rules=Markup(theme.dark_rules()),
        colours=theme,
    )


def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for module, names in (
        (
            numbers,
            (
                "metric_words",
                "count",
                "figure",
                "value",
                "signed",
                "interval",
                "percent",
                "duration",
                "size",
                "milliseconds",
            ),
        ),
        (view, ("day", "days", "moment", "plain", "plural")),
    ):
        environment.filters.update({name: getattr(module, name) for name in names})
    environment.filters["raised"] = _raised
    return environment


def _raised(number: str) -> "Markup":
    """`10⁻⁷` with a real superscript: many fonts lack the characters."""
    from markupsafe import Markup, escape

    plain = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "−0123456789")
    text = re.sub("(?<= 10)[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: f"<sup>{found[0].translate(plain)}</sup>", escape(number))
    return Markup(text)
