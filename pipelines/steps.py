"""A step's name for people, and what it gets on a cluster: `pipelines/steps.yaml`."""

from functools import cache
from pathlib import Path

from kfp import dsl, kubernetes

from fairlead.spec.load import load_document
from fairlead.spec.steps import StepSpec, StepsSpec, VariablesSpec

STEPS = Path(__file__).with_name("steps.yaml")


@cache
def load_steps() -> StepsSpec:
    """The settings that are compiled into the pipelines."""
    return load_document(STEPS, StepsSpec)


def configure(task: dsl.PipelineTask, title: str) -> dsl.PipelineTask:
    """Name a step, and give it the settings of its component."""
    steps = load_steps()
    task.set_display_name(title)
    _set_resources(task, steps.of(task.component_spec.name.replace("-", "_")))
    _set_variables(task, steps.variables)
    return task


def _set_resources(task: dsl.PipelineTask, step: StepSpec) -> None:
    task.set_cpu_request(step.cpu.request).set_cpu_limit(step.cpu.limit)
    task.set_memory_request(step.memory.request).set_memory_limit(step.memory.limit)
    task.set_caching_options(step.cache)
    if step.retries:
        task.set_retry(num_retries=step.retries, backoff_duration="10s")
    for label, value in step.node_selector.items():
        kubernetes.add_node_selector(task, label_key=label, label_value=value)
    kubernetes.set_timeout(task, int(step.timeout.total_seconds()))


def _set_variables(task: dsl.PipelineTask, variables: VariablesSpec) -> None:
    for name, keys in variables.config_maps.items():
        kubernetes.use_config_map_as_env(task, name, {key: key for key in keys}, optional=True)
    for name, keys in variables.secrets.items():
        kubernetes.use_secret_as_env(task, name, {key: key for key in keys}, optional=True)
