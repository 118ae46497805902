"""Who runs on which cores: servers and load generator never share one, if there are enough."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Cores of the servers and of this process and its load generator."""

    server: tuple[int, ...]
    client: tuple[int, ...]

    @property
    def apart(self) -> bool:
        """The client takes nothing from the servers."""
        return not set(self.server) & set(self.client)

    def __str__(self) -> str:
        return f"servers on core {_list(self.server)}, client on {_list(self.client)}"


def share_cores(available: list[int], processes: int = 1) -> Cores:
    """One core for each process of a server and the others for the client; all for both where none would be left."""
    if len(available) > processes:
        return Cores(tuple(available[:processes]), tuple(available[processes:]))
    return Cores(tuple(available), tuple(available))


def available_cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def pinned(command: list[str], cores: tuple[int, ...]) -> list[str]:
    """The command, bound to cores from its first instruction on."""
    return ["taskset", "--cpu-list", _list(cores), *command]


def _list(cores: tuple[int, ...]) -> str:
    return ",".join(map(str, cores))
