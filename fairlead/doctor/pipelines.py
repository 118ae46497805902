"""Has the cluster the pipelines of this checkout, and have its schedules been made?"""

from collections.abc import Iterator

from fairlead.doctor.finding import Finding, condition, ok, problem, telling, unknown
from fairlead.doctor.kinds import JOB, PIPELINE_VERSION
from fairlead.ports import ClusterReader
from fairlead.render.pipelines import SCHEDULES_CONFIG


@telling
def version(cluster: ClusterReader, where: str, name: str, application: str) -> Iterator[Finding]:
    """Its name holds the hash of its content: a version of that name is the checkout's."""
    what = PIPELINE_VERSION.named(where, name)
    if cluster.find(PIPELINE_VERSION, where, name) is None:
        told = "is not there: what this checkout has rendered was not applied"
        yield problem(what, told, f"push the commit; what does Argo CD's application {application} say?")
    else:
        yield ok(what, "is there")


@telling
def schedules(cluster: ClusterReader, where: str, application: str) -> Iterator[Finding]:
    """How the Job ended that makes the recurring runs."""
    what = JOB.named(where, SCHEDULES_CONFIG)
    found = cluster.find(JOB, where, SCHEDULES_CONFIG)
    logs = f"kubectl -n {where} logs job/{SCHEDULES_CONFIG}"
    if found is None:
        told = "is not there, so no schedule was made: it runs after each sync"
        yield problem(what, told, f"what does Argo CD's application {application} say?")
    elif (failed := condition(found, "Failed")).get("status") == "True":
        told = f"failed: {failed.get('message', failed.get('reason', ''))}"
        yield problem(what, told, f"{logs}; then sync the application {application} again")
    elif condition(found, "Complete").get("status") == "True":
        yield ok(what, "the schedules are those declared")
    else:
        yield unknown(what, "has not ended yet", logs)
