"""The command that looks at a cluster."""

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from fairlead.doctor.finding import Finding
from fairlead.errors import ClusterDownError

UNREACHABLE = 2
"""Exit code where there is no cluster to examine."""
_STYLES = {"ok": "green", "problem": "bold red", "cannot tell": "yellow"}


def examine_cluster(
    repo: Path, environment: str | None, kubeconfig: Path | None, context: str | None, json_output: bool
) -> int:
    """Print what was found; returns the exit code. What cannot be told is not well."""
    from fairlead.adapters.kubernetes import KubernetesReader
    from fairlead.doctor.examine import examine

    try:
        cluster = KubernetesReader(kubeconfig, context)
        findings = examine(repo, cluster, environment)
    except ClusterDownError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", markup=False)
        return UNREACHABLE
    well = all(finding.state == "ok" for finding in findings)
    if json_output:
        whole = {"cluster": cluster.address, "version": cluster.version, "findings": [asdict(it) for it in findings]}
        sys.stdout.write(json.dumps(whole, indent=2) + "\n")
    else:
        _print(f"{cluster.address}, Kubernetes {cluster.version}", findings)
    return 0 if well else 1


def _print(title: str, findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(title, markup=False)
    for item in findings:
        console.print(f"{item.state:<12}", style=_STYLES[item.state], end="")
        console.print(f"{item.what}: {item.found}", markup=False)
        if item.mend:
            console.print(f"{'':<12}mend: {item.mend}", markup=False)
    counts = Counter(item.state for item in findings)
    console.print(f"{counts['ok']} ok, {counts['problem']} to mend, {counts['cannot tell']} that cannot be told")
