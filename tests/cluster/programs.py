"""The programs that the tests on a cluster call; they must be on the PATH."""

import subprocess


class RefusedError(AssertionError):
    """A program ended with an error."""


def kubectl(*words: str, text: str | None = None, check: bool = True) -> str:
    """What kubectl prints; it takes the cluster from KUBECONFIG. Without `check` also where it refuses."""
    return _run("kubectl", *words, text=text, check=check)


def kustomize(*words: str) -> str:
    """What kustomize prints."""
    return _run("kustomize", *words)


def kubeconform(*words: str, text: str) -> str:
    """What kubeconform prints."""
    return _run("kubeconform", *words, text=text)


def _run(*words: str, text: str | None = None, check: bool = True) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if not check:
        return done.stdout + done.stderr
    if done.returncode != 0:
        raise RefusedError(f"{' '.join(words)}: {done.stderr}{done.stdout}")
    return done.stdout
