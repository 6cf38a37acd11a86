"""How many checks a JSON schema can make of an answer, known before it makes them.

A schema is a graph: some subschemas are applied to the same value, some to the values
below it.  For each depth of an answer the most checks along one path from its root to a
leaf are counted, without the answer: references that double at each level show here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

NODES_MAX: Final = 2_000
"""Subschemas; with the depth it bounds the time of compiling."""
LOOKS_MAX: Final = 60_000
"""Looks at subschemas for all depths of an answer; of a large schema fewer depths are known."""
PATTERNS_MAX: Final = 64
PATTERN_CHARS_MAX: Final = 512
ANSWER_DEPTH_MAX: Final = 64
CHECKS_MAX: Final = 3_000_000
"""Checks of one answer: about 20 ns each."""
READS_MAX: Final = 4_000_000
"""Characters that checks read in one answer, each up to 25 ns, for patterns ten times that."""

# Which keywords hold schemas, and what these are applied to.
_SAME_ONE: Final = ("not", "if", "then", "else")
_SAME_LIST: Final = ("allOf", "anyOf", "oneOf")
_CHOICES: Final = ("anyOf", "oneOf")
_SCALARS: Final = ("string", "number", "integer", "boolean", "null")
_SAME_MAP: Final = ("dependentSchemas", "dependencies")
_BELOW_ONE: Final = ("additionalProperties", "additionalItems", "contains", "propertyNames")
_BELOW_MAP: Final = ("patternProperties",)
_EITHER_MAP: Final = ("properties",)  # of these one is applied to a member
_EITHER_LIST: Final = ("prefixItems",)
_ITEMS: Final = "items"  # a schema for all items, or in old drafts a list for one each
_READS: Final = {
    "pattern": 10,
    "format": 1,
    "uniqueItems": 1,
    "contentEncoding": 1,
    "contentMediaType": 1,
}
"""Checks that read a whole value, and what a character costs them."""
_PATTERN_READS: Final = _READS["pattern"]
_REFUSED_SCHEMAS: Final = ("unevaluatedItems", "unevaluatedProperties")  # look at all again


class SchemaRefused(ValueError):
    """A schema that is not compiled; the message says why, without its values."""


class Cost(NamedTuple):
    """Checks of one path through an answer, and what of them reads whole values.

    ``explained`` are the checks when an error is told: then every alternative is looked at.
    """

    checks: int
    reads: int
    explained: int


@dataclass(slots=True)
class _Node:
    """One subschema: those applied to the same value, to every and to one value below.

    Of ``alternatives`` only one is applied in full: a member's value tells them apart.
    """

    own: Cost
    same: list[int]
    alternatives: list[int]
    below: list[int]
    either: list[int]


class CostGraph:
    """The subschemas that can be reached from the root, by number."""

    def __init__(self, document: dict[str, Any] | bool) -> None:
        self._root = document
        self._numbers: dict[int, int] = {}
        self._queue: list[dict[str, Any]] = []
        self._patterns = 0
        self.branches = False
        names: set[str] = set()
        self._number(document)
        self._nodes: list[_Node] = []
        for schema in self._queue:  # grows while it is read
            names.update(_map(schema, "properties"))
            self._count_patterns(schema)
            self._nodes.append(self._node(schema))
        self.names = frozenset(names)
        self._order = self._in_place_order()

    def costs(self) -> tuple[tuple[Cost, ...], bool]:
        """The cost of one path for each depth of an answer; and whether the last one is final."""
        costs: list[Cost] = []
        edges = sum(
            1 + len(node.same) + len(node.alternatives) + len(node.below) + len(node.either)
            for node in self._nodes
        )
        levels = min(ANSWER_DEPTH_MAX, LOOKS_MAX // edges)
        below = [_NOTHING] * len(self._nodes)
        for _ in range(levels + 1):
            here = self._level(below)
            if here[0].checks > CHECKS_MAX:
                break
            costs.append(here[0])
            if here == below:
                return tuple(costs), True
            below = here
        if not costs:
            raise SchemaRefused("the schema takes too many checks")
        return tuple(costs), False

    def _level(self, below: list[Cost]) -> list[Cost]:
        """The costs of all nodes for answers one level deeper than those of ``below``."""
        here = [_NOTHING] * len(self._nodes)
        for number in self._order:
            node = self._nodes[number]
            checks, reads, explained = node.own
            parts = [here[other] for other in node.same]
            parts += [below[other] for other in node.below]
            if node.either:
                parts.append(_most([below[other] for other in node.either]))
            if node.alternatives:
                told_apart = [here[other] for other in node.alternatives]
                checks += len(told_apart)
                every = sum([cost.explained for cost in told_apart])
                parts.append(_most(told_apart)._replace(explained=every))
            for more_checks, more_reads, more_explained in parts:
                checks += more_checks
                reads += more_reads
                explained += more_explained
            here[number] = Cost(
                min(checks, CHECKS_MAX + 1), min(reads, READS_MAX + 1), min(explained, CHECKS_MAX)
            )
        return here

    def _in_place_order(self) -> list[int]:
        """Nodes behind those that they apply to the same value; refuses circles of these."""
        order: list[int] = []
        state = [0] * len(self._nodes)  # 1 while on the way down, 2 when done
        for start in range(len(self._nodes)):
            stack = [start]
            while stack:
                number = stack[-1]
                if state[number] == 0:
                    state[number] = 1
                    node = self._nodes[number]
                    for other in (*node.same, *node.alternatives):
                        if state[other] == 1:
                            raise SchemaRefused("the schema refers to itself")
                        if state[other] == 0:
                            stack.append(other)
                else:
                    stack.pop()
                    if state[number] == 1:
                        state[number] = 2
                        order.append(number)
        return order

    # --------------------------------------------------------------------- reading

    def _number(self, schema: Any) -> int:
        if not isinstance(schema, dict):
            schema = _PLAIN
        number = self._numbers.get(id(schema))
        if number is None:
            number = self._numbers[id(schema)] = len(self._queue)
            self._queue.append(schema)
            if number >= NODES_MAX:
                raise SchemaRefused(f"the schema has more than {NODES_MAX} parts")
        return number

    def _count_patterns(self, schema: dict[str, Any]) -> None:
        own = schema.get("pattern")
        patterns = [own] if isinstance(own, str) else []
        for keyword in _BELOW_MAP:
            patterns += _map(schema, keyword)
        self._patterns += len(patterns)
        if self._patterns > PATTERNS_MAX:
            raise SchemaRefused(f"the schema has more than {PATTERNS_MAX} patterns")
        if any(len(pattern) > PATTERN_CHARS_MAX for pattern in patterns):
            raise SchemaRefused(f"a pattern is longer than {PATTERN_CHARS_MAX} characters")

    def _node(self, schema: dict[str, Any]) -> _Node:
        for keyword in _REFUSED_SCHEMAS:
            if keyword in schema:
                raise SchemaRefused(f"the keyword '{keyword}' is not supported")
        self.branches |= any(keyword in schema for keyword in _CHOICES)
        same = list(self._same(schema))
        below = [self._number(schema[keyword]) for keyword in _BELOW_ONE if keyword in schema]
        either: list[int] = []
        for keyword in _BELOW_MAP:
            below += map(self._number, _map(schema, keyword).values())
        for keyword in _EITHER_MAP:
            either += map(self._number, _map(schema, keyword).values())
        for keyword in (*_EITHER_LIST, _ITEMS):
            either += map(self._number, _list(schema, keyword))
        if isinstance(schema.get(_ITEMS), dict):
            below.append(self._number(schema[_ITEMS]))
        return _Node(_own_cost(schema), same, self._alternatives(schema), below, either)

    def _same(self, schema: dict[str, Any]) -> Iterator[int]:
        if "$ref" in schema:
            yield self._number(self._resolve(schema["$ref"]))
        for keyword in _SAME_ONE:
            if keyword in schema:
                yield self._number(schema[keyword])
        for keyword in _SAME_LIST:
            if not (keyword in _CHOICES and self._are_told_apart(_list(schema, keyword))):
                yield from map(self._number, _list(schema, keyword))
        for keyword in _SAME_MAP:
            for part in _map(schema, keyword).values():
                if isinstance(part, dict):
                    yield self._number(part)

    def _alternatives(self, schema: dict[str, Any]) -> list[int]:
        told = [parts for key in _CHOICES if self._are_told_apart(parts := _list(schema, key))]
        return [self._number(part) for parts in told for part in parts]

    def _are_told_apart(self, parts: list[Any]) -> bool:
        """True if all are objects with a required member of one text, another one in each.

        Scalars may stand between them.  The library looks at that member first.
        """
        marks: list[dict[str, str]] = []
        for part in parts:
            if isinstance(part, dict) and set(part) == {"$ref"}:
                part = self._resolve(part["$ref"])
            if not isinstance(part, dict):
                return False
            if part.get("type") == "object":
                marks.append(_marks(part))
            elif part.get("type") not in _SCALARS:
                return False
        names = set.intersection(*map(set, marks)) if marks else set()
        return any(len({mark[name] for mark in marks}) == len(marks) for name in names)

    def _resolve(self, reference: Any) -> Any:
        """What a reference inside the schema means; it may lead nowhere else."""
        if not isinstance(reference, str) or not (reference == "#" or reference[:2] == "#/"):
            raise SchemaRefused("a reference leads out of the schema")
        node: Any = self._root
        for part in reference.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            else:
                raise SchemaRefused("a reference leads nowhere")
        return node


_PLAIN: Final[dict[str, Any]] = {}
"""Stands for true and false."""


def _marks(schema: dict[str, Any]) -> dict[str, str]:
    """The required members that can have one value only, a text."""
    marks: dict[str, str] = {}
    for name in _list(schema, "required"):
        member = _map(schema, "properties").get(name) if isinstance(name, str) else None
        if isinstance(member, dict):
            values = [member["const"]] if "const" in member else _list(member, "enum")
            if len(values) == 1 and isinstance(values[0], str):
                marks[name] = values[0]
    return marks


_NOTHING: Final = Cost(0, 0, 0)


def _most(costs: list[Cost]) -> Cost:
    """The most of each; no one of them need have all."""
    checks, reads, explained = zip(*costs, strict=True)
    return Cost(max(checks), max(reads), max(explained))


def _own_cost(schema: dict[str, Any]) -> Cost:
    """A look at each keyword, at each member asked for, at each value allowed."""
    listed = len(_list(schema, "required")) + len(_list(schema, "enum"))
    reads = sum(cost for keyword, cost in _READS.items() if schema.get(keyword))
    reads += _PATTERN_READS * sum(len(_map(schema, keyword)) for keyword in _BELOW_MAP)
    if schema.get("format") == "regex":
        reads += _PATTERN_READS
    return Cost(1 + listed // 4, reads, 1 + listed // 4)


def _map(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    value = schema.get(keyword)
    return value if isinstance(value, dict) else {}


def _list(schema: dict[str, Any], keyword: str) -> list[Any]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []
