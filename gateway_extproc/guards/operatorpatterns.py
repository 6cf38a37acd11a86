"""The operator's patterns over one text: Hyperscan tells where matches end, RE2 where they begin.

Hyperscan's own start-of-match mode reads outside of its memory for some patterns and ends the
process, for instance where a beginning of text is one of several alternatives.  RE2 walks back from
an end over what can be a match, so each beginning costs what the match is long.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import hyperscan

from gateway_extproc.guards.patterns import FLAGS, HOLD_MAX, compiled, longest_match

ENDS_MAX: Final = 20_000
"""Ends of matches in one text; what is behind them is found by each pattern that matches there."""
SEARCHED_MAX: Final = 8 << 20
"""Bytes of one text that beginnings are looked for in, counted again for every end."""
REACH: Final = 4_096
"""Bytes before an end where its beginning is looked for first."""
_COST = 512
"""What one search costs, in bytes read."""
_NEAR = 4
"""Ends inside of a longer match that may have a beginning before it; the last one is asked, too."""

Stretch = tuple[int, int, int]
"""Start, end, and the end of the shortest match in it, in bytes."""


class _Pattern(NamedTuple):
    to_end: Any
    from_start: Any
    reach: int

    @classmethod
    def of(cls, pattern: str) -> _Pattern:
        length = longest_match(pattern)
        reach = length if length < HOLD_MAX else REACH
        return cls(compiled(rf"(?:{pattern})\z"), compiled(pattern, longest=True), reach)


class PatternScan:
    """Several patterns, by their place in the list; not for several threads at once."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [_Pattern.of(pattern) for pattern in patterns]
        self._ends = _database(patterns, FLAGS)
        self._presence = _database(patterns, FLAGS | hyperscan.HS_FLAG_SINGLEMATCH)

    def find(self, data: bytes) -> dict[int, list[Stretch]]:
        """Stretches of ``data`` (UTF-8) that matches cover, in order, overlapping ones joined."""
        ends: dict[int, list[int]] = {}
        last = _scan(self._ends, data, ends, ENDS_MAX)
        found = {place: self._stretches(place, data, each) for place, each in ends.items()}
        if last:
            self._add_rest(found, data, last)
        return found

    def _stretches(self, place: int, data: bytes, ends: list[int]) -> list[Stretch]:
        look = _Look(self._patterns[place], data)
        for index, end in enumerate(ends):
            look.end_at(end, ends, index)
        return look.stretches

    def _add_rest(self, found: dict[int, list[Stretch]], data: bytes, begin: int) -> None:
        """The rest of a text with more ends than are listed, for the patterns that match in it."""
        begin -= min(begin, REACH)
        while begin and data[begin] & 0xC0 == 0x80:
            begin -= 1
        seen: dict[int, list[int]] = {}
        _scan(self._presence, data[begin:], seen, len(self._patterns) + 1)
        for place, ends in seen.items():
            known = found.get(place, [])
            over = [stretch for stretch in known if stretch[1] > begin]
            start = min([begin, *(stretch[0] for stretch in over)])
            sure = min([begin + ends[0], *(stretch[2] for stretch in over)])
            found[place] = [*known[: len(known) - len(over)], (start, len(data), sure)]


class _Look:
    """The stretches of one pattern in one text, built from the ends of its matches."""

    def __init__(self, pattern: _Pattern, data: bytes) -> None:
        self.stretches: list[Stretch] = []
        self._pattern, self._data, self._view = pattern, data, memoryview(data)
        self._searched = 0
        self._near = 0

    def end_at(self, end: int, ends: Sequence[int], index: int) -> None:
        """Takes the next end; most ends that lie in a match already found are not asked again."""
        covered = self.stretches[-1][1] if self.stretches else 0
        if end <= covered:
            self._near += 1
            is_last = index + 1 == len(ends) or ends[index + 1] > covered
            if self._near > _NEAR and not is_last:
                return
            self._add(self._start(end), covered, end)
            return
        self._near = 0
        if self._searched > SEARCHED_MAX:
            self._add(covered, len(self._data), end)
            return
        start = self._start(end)
        self._add(start, self._longest(start, end), end)

    def _add(self, start: int, end: int, sure: int) -> None:
        """Overlapping stretches become one."""
        while self.stretches and start < self.stretches[-1][1]:
            first, last, known = self.stretches.pop()
            start, end, sure = min(first, start), max(last, end), min(known, sure)
        self.stretches.append((start, end, sure))

    def _start(self, end: int) -> int:
        """Where the longest match begins that ends at ``end``."""
        near = max(0, end - self._pattern.reach)
        start = self._search(near, end)
        if near and start in (None, near):  # it may begin before
            start = self._search(0, end)
        return self._around(near, end) if start is None else start

    def _search(self, begin: int, end: int) -> int | None:
        match = self._pattern.to_end.search(self._view[:end], begin)
        self._searched += _COST + (end - match.start() if match else end - begin)
        return match.start() if match else None

    def _around(self, begin: int, end: int) -> int:
        """The same for a match that depends on what follows it, as with ``\\B``."""
        for _ in range(64):
            match = self._pattern.from_start.search(self._data, begin)
            self._searched += _COST + (match.end() - begin if match else len(self._data) - begin)
            if match is None or match.start() >= end:
                break
            if match.end() >= end:
                return int(match.start())
            begin = match.start() + 1
        return begin

    def _longest(self, start: int, end: int) -> int:
        match = self._pattern.from_start.match(self._data, start)
        self._searched += _COST + (match.end() - start if match else 0)
        return max(end, match.end()) if match else end


def _database(patterns: Sequence[str], flags: int) -> tuple[Any, Any]:
    database = hyperscan.Database()
    database.compile(
        expressions=[pattern.encode() for pattern in patterns],
        ids=list(range(len(patterns))),
        elements=len(patterns),
        flags=[flags] * len(patterns),
    )
    return database, hyperscan.Scratch(database)


def _scan(compiled: tuple[Any, Any], data: bytes, ends: dict[int, list[int]], most: int) -> int:
    """Fills in the ends by pattern, in order; the last of them if there are ``most``, else 0."""
    database, scratch = compiled
    count = 0

    def collect(ident: int, _start: int, end: int, _flags: int, _context: None) -> bool:
        nonlocal count
        count += 1
        ends.setdefault(ident, []).append(end)
        return count >= most

    with suppress(hyperscan.ScanTerminated):
        database.scan(data, collect, scratch=scratch)
    return max(each[-1] for each in ends.values()) if count >= most else 0
