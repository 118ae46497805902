"""Train a model on what there is now: what a schedule starts, or a person in the UI.

1. Plan: the sources, the code and the champion as they are now become the arguments of the run.
2. Train and release: the pipeline of that name.
"""

from kfp import dsl

from components.plan_run.component import plan_run
from pipelines.steps import configure
from pipelines.train_and_release.pipeline import train_and_release


@dsl.pipeline(name="retrain-model", description="Train a model on what there is now.")
def retrain_model(model: str, as_of: str = "") -> str:
    """Returns the registered version.

    Args:
        model: its name, such as flight-delay.
        as_of: a day such as 2013-04-01, whose beginning is the moment of the run; empty for today.
    """
    plan = plan_run(model=model, as_of=as_of)
    configure(plan, "Plan run")

    train = train_and_release(
        dataset=plan.outputs["dataset"],
        model=plan.outputs["model"],
        sources=plan.outputs["sources"],
        as_of=plan.outputs["as_of"],
        code_version=plan.outputs["code_version"],
        champion=plan.outputs["champion"],
    )
    train.set_display_name("Train and release")
    return train.outputs["version"]
