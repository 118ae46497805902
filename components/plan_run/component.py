"""Say what a run is made from: the sources, the code and the champion as they are now."""

from typing import NamedTuple

from kfp import dsl

from components.images import PIPELINE_IMAGE


@dsl.component(base_image=PIPELINE_IMAGE, install_kfp_package=False)
def plan_run(model: str, as_of: str) -> NamedTuple(
    "Plan",
    [
        ("dataset", str),
        ("model", str),
        ("sources", dict),
        ("as_of", str),
        ("code_version", str),
        ("champion", str),
    ],
):
    """Returns the arguments of the pipeline train-and-release.

    Args:
        model: its name; its file and its dataset's are the image's.
        as_of: a day such as 2013-04-01, whose beginning is the moment of the run; empty for today.
    """
    from collections import namedtuple

    from fairlead.lineage.plan import make_plan, start_of_day
    from fairlead.lineage.steps import begin_step
    from fairlead.spec.load import load_specs

    settings = begin_step()
    model_spec, dataset_spec = load_specs(settings.repo, model)
    arguments = make_plan(settings, dataset_spec, model_spec, start_of_day(as_of, dataset_spec)).arguments()
    return namedtuple("Plan", arguments)(**arguments)
