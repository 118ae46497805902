"""PromQL as far as panels use it, from text to a tree: selectors, functions, aggregations and six operators.

What Prometheus does with it is in `evaluate.py`. A query of another shape is refused, so
that no panel is drawn wrongly.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias

from fairlead.errors import QueryError

FUNCTIONS = ("rate", "increase", "histogram_quantile")
AGGREGATIONS = ("sum", "max", "min", "topk", "bottomk")
LEVELS = (("or",), (">",), ("+", "-"), ("*", "/"))
"""Operators by how loosely they bind; those of one level from left to right."""
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_TOKEN = re.compile(r'(\d+(?:\.\d+)?|[A-Za-z_]\w*|"(?:[^"\\]|\\.)*"|=~|!=|[-=(){}\[\],+*/>])|\s+')


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True)
class Time:
    """`time()`: the instant of evaluation, in seconds since 1970."""


@dataclass(frozen=True)
class Matcher:
    """One condition on a label; a label that a series does not have is empty."""

    label: str
    sign: str
    value: str

    def fits(self, value: str) -> bool:
        """Whether a label's value obeys."""
        if self.sign == "=~":
            return re.fullmatch(self.value, value) is not None
        return (value == self.value) == (self.sign == "=")


@dataclass(frozen=True)
class Selector:
    """Series of a metric: their newest values, or those of a window."""

    name: str
    matchers: tuple[Matcher, ...] = ()
    window: timedelta | None = None


@dataclass(frozen=True)
class Call:
    """A function of Prometheus."""

    function: str
    arguments: "tuple[Node, ...]"


@dataclass(frozen=True)
class Aggregation:
    """Series made fewer: by labels that are kept, or as the first by value."""

    kind: str
    of: "Node"
    by: tuple[str, ...] = ()
    count: int = 0
    """Of `topk` and `bottomk`."""


@dataclass(frozen=True)
class Operation:
    """Two sides; vectors are matched on all labels."""

    sign: str
    left: "Node"
    right: "Node"


Node: TypeAlias = Number | Time | Selector | Call | Aggregation | Operation


def parse(text: str) -> Node:
    """The tree of a query.

    Raises:
        QueryError: it is of no shape that is known here.
    """
    reader = _Reader(text)
    node = reader.operation()
    if reader.tokens:
        raise reader.refuse()
    return node


def names(node: Node) -> frozenset[str]:
    """Of the series that a query reads."""
    match node:
        case Selector():
            return frozenset({node.name})
        case Call():
            return frozenset().union(*map(names, node.arguments))
        case Aggregation():
            return names(node.of)
        case Operation():
            return names(node.left) | names(node.right)
    return frozenset()


@dataclass
class _Reader:
    """What is left of a text, token by token."""

    text: str
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        end = 0
        for found in _TOKEN.finditer(self.text):
            if found.start() != end:
                break
            end = found.end()
            if found[1]:
                self.tokens.append(found[1])
        if end != len(self.text):
            raise QueryError(f"a panel's query must be of what {__name__} knows, but has {self.text[end:]!r}")

    def refuse(self) -> QueryError:
        """What to raise here."""
        rest = " ".join(self.tokens) or "its end"
        return QueryError(f"a panel's query must be of what {__name__} knows, but is {self.text!r}, at {rest!r}")

    def operation(self, level: int = 0) -> Node:
        """Operators of one level or tighter."""
        if level == len(LEVELS):
            return self._operand()
        left = self.operation(level + 1)
        while self.tokens and self.tokens[0] in LEVELS[level]:
            sign = self.tokens.pop(0)
            left = Operation(sign, left, self.operation(level + 1))
        return left

    def _operand(self) -> Node:
        token = self._next()
        if token == "(":
            node = self.operation()
            self._expect(")")
            return node
        if token[0].isdigit():
            return Number(float(token))
        if token == "time":
            self._expect("(", ")")
            return Time()
        if token in FUNCTIONS:
            return Call(token, tuple(self._arguments()))
        if token in AGGREGATIONS:
            return self._aggregation(token)
        if token.isidentifier():
            return self._selector(token)
        self.tokens.insert(0, token)
        raise self.refuse()

    def _aggregation(self, kind: str) -> Node:
        by: tuple[str, ...] = ()
        if self.tokens[:1] == ["by"]:
            self._next()
            by = tuple(self._listed("(", ")"))
        arguments = self._arguments()
        match kind, arguments:
            case ("topk" | "bottomk", [Number(value), of]):
                return Aggregation(kind, of, by, int(value))
            case ("sum" | "max" | "min", [of]):
                return Aggregation(kind, of, by)
        raise self.refuse()

    def _arguments(self) -> Sequence[Node]:
        self._expect("(")
        found = [self.operation()]
        while self.tokens[:1] == [","]:
            self._next()
            found.append(self.operation())
        self._expect(")")
        return found

    def _selector(self, name: str) -> Node:
        matchers = []
        if self.tokens[:1] == ["{"]:
            words = self._listed("{", "}")
            matchers = [
                Matcher(label, sign, _unquoted(value))
                for label, sign, value in zip(words[::3], words[1::3], words[2::3], strict=True)
            ]
        window = None
        if self.tokens[:1] == ["["]:
            self._next()
            amount, unit = self._next(), self._next()
            if unit not in SECONDS:
                raise self.refuse()
            window = timedelta(seconds=float(amount) * SECONDS[unit])
            self._expect("]")
        return Selector(name, tuple(matchers), window)

    def _listed(self, first: str, last: Literal[")", "}"]) -> list[str]:
        """All tokens between two signs but for commas."""
        self._expect(first)
        found = []
        while (token := self._next()) != last:
            if token != ",":
                found.append(token)
        return found

    def _next(self) -> str:
        if not self.tokens:
            raise self.refuse()
        return self.tokens.pop(0)

    def _expect(self, *signs: str) -> None:
        for sign in signs:
            if self._next() != sign:
                raise self.refuse()


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])
