"""Addresses that would carry data out: an image or link that a reader's program fetches.

A model that was told to by a document writes ``![](https://host/?q=what-it-knows)``; showing
the answer is enough to send it.  What is found is the address, so that an image without one stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote

from gateway_extproc.guards.numbers import Spans, merged
from gateway_extproc.guards.scanner import Hit, Scanner
from gateway_extproc.guards.shapes import trailing_run

URL_MAX = 2048
LINKS_MAX = 4_000
"""Addresses of one text that are looked at; what stands behind so many is found as a whole."""
_TAG_MAX = 200
_END = r"\s)>\"'\\"
_URL = rf"(?:https?:)?//[^{_END}]{{3,{URL_MAX}}}+"
_FETCHED = re.compile(
    rf"\]\(\s{{0,4}}<?({_URL})"  # Markdown, inline
    rf"|\]:\s{{0,4}}<?({_URL})"  # Markdown, by reference
    rf"|\b(?:src|srcset|href|poster|background|action|data)\s{{0,2}}=\s{{0,2}}[\"']?({_URL})"
    rf"|\burl\([\"']?({_URL})",
    re.IGNORECASE,
)


def _fetching(space: str) -> str:
    """What stands before an address that is shown or followed, up to its two slashes."""
    address = "(?:https?:)?//"
    names = "src|srcset|href|poster|background|action|data"
    return (
        rf"\]\({space}{{0,4}}<?{address}|\]:{space}{{0,4}}<?{address}"
        rf"|\b(?:{names}){space}{{0,2}}={space}{{0,2}}[\"']?{address}|\burl\([\"']?{address}"
    )


_HEAD = re.compile("(?:" + _fetching(r"\s") + r")\Z", re.IGNORECASE)
# White space outside of ASCII is a question mark to the scanner.
_SCANNER = Scanner(["(?i)" + _fetching(r"[\s?]")], most=LINKS_MAX)
_HEAD_REACH = 32
_TAIL = re.compile(
    r"(?:\]\(\s{0,4}<?|\]:\s{0,4}<?|=\s{0,2}[\"']?|\burl\([\"']?)"
    rf"(h(?:t(?:t(?:p(?:s?(?::(?:/(?:/[^{_END}]{{0,{URL_MAX}}}+)?)?)?)?)?)?)?"
    rf"|/(?:/[^{_END}]{{0,{URL_MAX}}}+)?)\Z",
    re.IGNORECASE,
)
_PARTS = re.compile(r"(?:https?:)?//([^/?#]*)([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_ENCODED = re.compile(r"[A-Za-z0-9+=_%-]+")
_LETTER_AND_DIGIT = re.compile("(?=.*[0-9])(?=.*[A-Za-z])", re.DOTALL)

_IMAGE_VALUE, _LINK_VALUE = 16, 48
"""Characters of one value of a query from which on it may carry something."""
_SEGMENT = 32
"""Characters of one part of a path, or of a host's name, that look like an encoding."""


class LinkGuard:
    """Finds addresses of hosts that are not allowed and that carry data.

    ``allowed_hosts`` are names; each stands for its subdomains too.
    """

    def __init__(self, allowed_hosts: Iterable[str] = ()) -> None:
        self._allowed = frozenset(host.lower().strip(".") for host in allowed_hosts)

    def find(self, text: str) -> Spans:
        """The spans of the addresses, without the Markdown or HTML around them."""
        hits = _SCANNER.hits(text) if "//" in text else []
        found = [match for match in _fetched(text, hits) if self._carries(match)]
        rest = [(hits[-1][1], len(text))] if len(hits) >= LINKS_MAX else []
        return merged([match.span(match.lastindex or 0) for match in found] + rest)

    def live(self, text: str) -> int:
        """The beginning of an address at the end of the text; other text is never held."""
        run = trailing_run(text, _INSIDE, URL_MAX + 16)
        found = _TAIL.search(text, max(0, run - 8))
        return found.start(1) if found else len(text)

    def _carries(self, match: re.Match[str]) -> bool:
        url = match[match.lastindex or 0]
        parts = _PARTS.fullmatch(url)
        if parts is None:
            return False
        host = parts[1].rpartition("@")[2].partition(":")[0].lower().rstrip(".")
        if self._is_allowed(host):
            return False
        shown = _is_fetched_unasked(match)
        return carries_data(host, parts[2], parts[3], _IMAGE_VALUE if shown else _LINK_VALUE)

    def _is_allowed(self, host: str) -> bool:
        labels = host.split(".")
        return any(".".join(labels[index:]) in self._allowed for index in range(len(labels)))


def _fetched(text: str, hits: Sequence[Hit]) -> Iterator[re.Match[str]]:
    """The matches of ``_FETCHED``, looked for where Hyperscan saw the beginning of an address."""
    position = 0
    for _, end in hits:
        head = _HEAD.search(text, max(position, end - _HEAD_REACH), end)
        match = _FETCHED.match(text, head.start()) if head else None
        if match:
            yield match
            position = match.end()


_INSIDE = "".join(chr(code) for code in range(33, 127) if chr(code) not in ")>\"'\\")


def _is_fetched_unasked(match: re.Match[str]) -> bool:
    """An image and all that HTML loads by itself; a link waits for a click."""
    text, start = match.string, match.start()
    if match[1] is None:
        return not match[0].lower().startswith("href") and match[2] is None
    bracket = text.rfind("[", max(0, start - _TAG_MAX), start + 1)
    return bracket > 0 and text[bracket - 1] == "!"


def carries_data(host: str, path: str, query: str, value_min: int) -> bool:
    """True if a part of an address is long enough, and odd enough, to hold what was said."""
    if any(len(label) >= _SEGMENT for label in host.split(".")):
        return True
    if any(map(_looks_encoded, path.split("/"))):
        return True
    if len(query) < value_min:
        return False
    values = [pair.rpartition("=")[2] for pair in re.split("[?&#;]", query)]
    return any(len(unquote(value)) >= value_min for value in values) or len(query) >= 8 * value_min


def _looks_encoded(segment: str) -> bool:
    if segment.count("%") >= 3 or segment.count("+") >= 3:
        return True
    return (
        len(segment) >= _SEGMENT
        and _ENCODED.fullmatch(segment) is not None
        and segment.count("-") < len(segment) // 8
        and _LETTER_AND_DIGIT.match(segment) is not None
    )
