"""Which of several weighted backends answers: by chance, or always the same one for the same key."""

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from math import log
from typing import Protocol, TypeVar

HASH_BITS = 53
"""As many as a float holds exactly."""


class Weighted(Protocol):
    """A backend, as far as choosing goes."""

    @property
    def identity(self) -> str: ...
    @property
    def weight(self) -> int: ...


AnyWeighted = TypeVar("AnyWeighted", bound=Weighted)


def by_chance(backends: Sequence[AnyWeighted], point: float) -> AnyWeighted | None:
    """The backend in whose part of [0, 1) a point lies; a part is as wide as its share of the weights.

    Returns:
        None if no backend has a weight.
    """
    edges = list(accumulate(backend.weight for backend in backends))
    if not edges or edges[-1] == 0:
        return None
    return backends[bisect_right(edges, point * edges[-1])]


def by_key(backends: Sequence[AnyWeighted], key: str) -> AnyWeighted | None:
    """The backend with the highest score -w / ln h(key, backend): weighted rendezvous hashing.

    Each backend gets its share of the keys. A key moves from one backend to another only if the other's weight grew
    relative to the one's, so a change of weights moves no more keys than it must. The order of backends has no effect.

    Source: D. Thaler, C. Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Trans. Networking
    6(1), 1998, for the highest random weight; C. Schindelhauer, G. Schomaker, "Weighted distributed hash tables", SPAA
    2005, section 4, for the logarithm, in the form of draft-ietf-bess-weighted-hrw.

    Returns:
        None if no backend has a weight.
    """
    able = [backend for backend in backends if backend.weight]
    return max(able, key=lambda backend: _score(backend, key), default=None)


def _score(backend: Weighted, key: str) -> float:
    # A hash of both, length first, so that no two pairs are the same text.
    text = f"{len(backend.identity)}:{backend.identity}{key}".encode("utf-8", "surrogateescape")
    number = int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> (64 - HASH_BITS)
    return -backend.weight / log((number + 0.5) / 2**HASH_BITS)
