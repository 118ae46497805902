"""A dashboard as Grafana's JSON."""

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from fairlead.errors import PipelineError
from fairlead.lineage.digest import hash_text
from fairlead.render.dashboards._base import Board, Panel

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard

WIDTH, HEIGHT = 8, 7
"""Of a panel, in cells; a row has 24."""
LONGEST_UID = 40
TAG = "fairlead"


def json_of(model: str, board: Board) -> str:
    """The file that Grafana imports.

    Raises:
        PipelineError: the library that writes it is not installed.
    """
    try:
        from grafana_foundation_sdk.builders import dashboard
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
    except ImportError:
        raise PipelineError("dashboards need grafana-foundation-sdk, a tool of development: `make render`") from None

    built = (
        dashboard.Dashboard(board.title)
        .uid(_uid(model, board))
        .tags([TAG, model])
        .time("now-6h", "now")
        .refresh("1m")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_choice("namespace", f'label_values(fairlead_model_info{{model="{model}"}}, namespace)'))
        .with_variable(_choice("environment", f'label_values(fairlead_rollout_stage{{model="{model}"}}, environment)'))
    )
    ids = count(1)
    for row in board.rows:
        built.with_row(dashboard.Row(row.title).id(next(ids)))
        for panel in row.panels:
            built.with_panel(_panel(panel).id(next(ids)))
    return json.dumps(built.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _uid(model: str, board: Board) -> str:
    name = f"{model}-{board.name}"
    return name if len(name) <= LONGEST_UID else hash_text(name)[:LONGEST_UID]


def _choice(name: str, query: str) -> "dashboard.QueryVariable":
    """A variable whose "All" matches series without the label too, as on one machine."""
    from grafana_foundation_sdk.builders import dashboard
    from grafana_foundation_sdk.models.common import DataSourceRef
    from grafana_foundation_sdk.models.dashboard import VariableRefresh

    source = DataSourceRef("prometheus", "$datasource")
    variable = dashboard.QueryVariable(name).label(name).query(query).datasource(source)
    return variable.include_all(True).all_value(".*").refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def _panel(panel: Panel) -> Any:
    from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
    from grafana_foundation_sdk.models.common import DataSourceRef

    newest = common.ReduceDataOptions().calcs(["lastNotNull"])
    built: Any = stat.Panel().reduce_options(newest) if panel.kind == "number" else timeseries.Panel()
    built.title(panel.title).unit(panel.unit).span(WIDTH).height(HEIGHT)
    built.datasource(DataSourceRef("prometheus", "$datasource"))
    if panel.said:
        built.description(panel.said)
    if panel.limit is not None:
        _draw_limit(built, panel.limit)
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        built.with_target(prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter))
    return built


def _draw_limit(built: Any, limit: float) -> None:
    from grafana_foundation_sdk.builders import common, dashboard
    from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode
    from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

    steps = [Threshold(value=None, color="green"), Threshold(value=round(limit, 9), color="red")]
    built.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    built.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
