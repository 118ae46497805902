"""Great Expectations' data docs as a folder that opens anywhere: no scripts, no other hosts."""

import html
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairlead.errors import QualityError
from fairlead.tables.quality import QualityReport

_NOT_OURS = re.compile(
    r"<script\b.*?</script>|<style\b.*?</style>|<footer\b.*?</footer>|<link\b[^>]*>|<img\b[^>]*>", re.DOTALL
)
_HEAD = """<meta charset="UTF-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body {font: 14px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 1rem auto; padding: 0 1rem}
table {border-collapse: collapse}
th, td {border-bottom: 1px solid #ddd; padding: .3rem .8rem; text-align: left; vertical-align: top}
h5 {font-size: 1.1rem; margin: 1.5rem 0 .3rem}
.badge {background: #eee; padding: 0 .3rem}
.card.mb-3 {display: none}
.fa-check-circle::before, .passed::before {content: "✓"; color: #287a3e}
.fa-times::before, .failed::before {content: "✗"; color: #b3261e}
.fa-exclamation-triangle::before {content: "⚠"; color: #8a6100}
</style>"""
"""The policy also keeps a value in the data, which GX writes without escaping it, from running as a script."""


def require_replaceable(docs: Path) -> None:
    """Protect a folder of other things from being taken for older docs.

    Raises:
        QualityError: the folder is neither missing nor empty nor an older site.
    """
    if docs.exists() and any(docs.iterdir()) and not (docs / "validations").is_dir():
        raise QualityError(f"{docs} is not replaced by data docs: it holds something else")


def write_docs(context: Any, report: QualityReport, docs: Path) -> None:
    """Replace the folder `docs`: the site is built beside it and then moved, so that readers never see half of one.

    Args:
        context: a GX context that holds the suites and their results.
        report: the same results, for the first page.
        docs: a folder that passed `require_replaceable`.
    """
    docs.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{docs.name}-", dir=docs.parent))
    try:
        site = aside / "site"
        site.mkdir()
        _build(context, report, site)
        if docs.exists():
            docs.rename(aside / "old")
        site.rename(docs)
    finally:
        shutil.rmtree(aside)


def _build(context: Any, report: QualityReport, site: Path) -> None:
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site.resolve())}
    config = {"class_name": "SiteBuilder", "show_how_to_buttons": False, "store_backend": store}
    context.add_data_docs_site(site_name="docs", site_config=config)
    context.build_data_docs(site_names=["docs"])
    shutil.rmtree(site / "static")
    for page in site.rglob("*.html"):
        page.write_text(_self_contained(page.read_text(encoding="utf-8")), encoding="utf-8")
    (site / "index.html").write_text(_index(report, site), encoding="utf-8")


def _self_contained(page: str) -> str:
    """GX's pages show little without a dozen scripts and styles from other hosts; its first page shows nothing."""
    return _NOT_OURS.sub("", page).replace('<meta charset="UTF-8">', _HEAD)


def overview_page(report: QualityReport) -> str:
    """The first page alone, for a viewer that takes one file."""
    return _page(report, dict.fromkeys(sorted({result.rule.table for result in report.results})))


def _index(report: QualityReport, site: Path) -> str:
    pages = {page.relative_to(site).parts[1]: page.relative_to(site) for page in site.glob("validations/*/**/*.html")}
    return _page(report, dict(sorted(pages.items())))


def _page(report: QualityReport, pages: Mapping[str, Path | None]) -> str:
    """A row a table, with links to its pages where there are some."""
    rows = "".join(_table_row(report, table, page) for table, page in pages.items())
    title = html.escape(f"Data quality of {report.dataset}, {report.as_of.isoformat()}")
    head = f"<!DOCTYPE html><html><head>{_HEAD}<title>{title}</title></head>"
    return f"{head}<body><h1>{title}</h1><table>{rows}</table></body></html>"


def _table_row(report: QualityReport, table: str, page: Path | None) -> str:
    checked = [result for result in report.results if result.rule.table == table]
    failed = [result for result in checked if not result.passed]
    messages = "".join(f"<br>{html.escape(f'{r.rule.severity}: {r.message}')}" for r in failed)
    name = f'<a href="{page}">{table}</a>' if page else table
    rules = f'<td><a href="expectations/{table}.html">rules</a></td>' if page else ""
    return (
        f'<tr><td class="{"failed" if failed else "passed"}"></td><td>{name}</td>'
        f"<td>{len(failed)} of {len(checked)} rules failed{messages}</td>{rules}</tr>"
    )
