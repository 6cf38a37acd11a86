"""E-mail addresses and secrets of known shapes.

Local in the same sense as ``numbers``: a value is decided by its own characters and one
neighbour on each side, and every length is bounded.
"""

from __future__ import annotations

import re
from string import ascii_letters, digits

from gateway_extproc.guards.numbers import Spans

# ----------------------------------------------------------------------------- e-mail

_LOCAL = ascii_letters + digits + "._%+-"
_DOMAIN_CHARS = ascii_letters + digits + ".-"
_LOCAL_MAX = 64
"""RFC 5321 4.5.3.1.1."""
_DOMAIN_MAX = 128
"""RFC 5321 allows 255; a longer domain is cut here so that the hold-back stays short."""
_DOMAIN = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}(?![A-Za-z0-9])")
_EMAIL_REACH = _LOCAL_MAX + 1 + _DOMAIN_MAX + 1


def find_emails(text: str) -> Spans:
    """Addresses with an ASCII local part of up to 64 characters and a dotted domain."""
    spans: Spans = []
    at = text.find("@")
    while at >= 0:
        before = text[max(0, at - _LOCAL_MAX - 1) : at]
        local = len(before) - len(before.rstrip(_LOCAL))
        if 0 < local <= _LOCAL_MAX:
            domain = _DOMAIN.match(text, at + 1, at + 1 + _DOMAIN_MAX)
            if domain:
                spans.append((at - local, domain.end()))
        at = text.find("@", at + 1)
    return spans


def live_email(text: str) -> int:
    """Where an address could begin that reaches the text's end: at most the last word."""
    offset = max(0, len(text) - _EMAIL_REACH)
    tail = text[offset:]
    run = tail[len(tail.rstrip(_LOCAL + "@")) :]
    if not run:
        return len(text)
    position = len(text) - len(run)
    parts = run.split("@")
    for index, local in enumerate(parts):
        known = position > offset or offset == 0
        if known and len(local) <= _LOCAL_MAX and _may_be_email(local, parts[index + 1 :]):
            return position
        position += len(local) + 1
    return len(text)


def _may_be_email(local: str, rest: list[str]) -> bool:
    if not rest:
        return local != ""
    return (
        local != ""
        and len(rest) == 1
        and len(rest[0]) < _DOMAIN_MAX
        and not rest[0].strip(_DOMAIN_CHARS)
    )


# ---------------------------------------------------------------------------- secrets

_KEY_BODY_MAX = 256
"""A longer run is masked up to here; no provider issues longer keys."""

# Prefix -> what follows it.  A key begins where no letter or digit stands before it.
_KEYS: dict[str, str] = {
    "sk-": r"[A-Za-z0-9_-]{20,256}",  # OpenAI, Anthropic (sk-ant-), many others
    "AKIA": r"[A-Z0-9]{16}(?![A-Za-z0-9])",  # AWS access key id
    "ASIA": r"[A-Z0-9]{16}(?![A-Za-z0-9])",
    "ghp_": r"[A-Za-z0-9]{36,255}",  # GitHub
    "gho_": r"[A-Za-z0-9]{36,255}",
    "ghu_": r"[A-Za-z0-9]{36,255}",
    "ghs_": r"[A-Za-z0-9]{36,255}",
    "ghr_": r"[A-Za-z0-9]{36,255}",
    "github_pat_": r"[A-Za-z0-9_]{36,255}",
    "xoxa-": r"[A-Za-z0-9-]{10,255}",  # Slack
    "xoxb-": r"[A-Za-z0-9-]{10,255}",
    "xoxe-": r"[A-Za-z0-9-]{10,255}",
    "xoxo-": r"[A-Za-z0-9-]{10,255}",
    "xoxp-": r"[A-Za-z0-9-]{10,255}",
    "xoxr-": r"[A-Za-z0-9-]{10,255}",
    "xoxs-": r"[A-Za-z0-9-]{10,255}",
    "AIza": r"[A-Za-z0-9_-]{35}",  # Google
    "gw_": r"[a-z0-9]{1,16}_[A-Za-z0-9]{1,40}_[A-Za-z0-9_-]{43}_[A-Za-z0-9]{4,16}",  # our own
}
_ALNUM = frozenset(ascii_letters + digits)
_KEY_CHARS = ascii_letters + digits + "_-"
_KEY_REACH = _KEY_BODY_MAX + max(map(len, _KEYS))
# A lookahead, so that a key that begins inside another one is found as well.
_KEY = re.compile(
    rf"(?<![A-Za-z0-9])(?=({'|'.join(prefix + body for prefix, body in _KEYS.items())}))"
)
_KEY_START = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_KEYS)})")
_LONG_PART = re.compile("[A-Za-z0-9]{12}")
_DIGIT = re.compile("[0-9]")
_PARTIAL_KEYS = frozenset(prefix[:n] for prefix in _KEYS for n in range(1, len(prefix) + 1))
_LONGEST_PREFIX = max(map(len, _KEYS))

_PEM_BODY_MAX = 6000
_PEM_BEGIN = "-----BEGIN "
_PEM_LABEL = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_PEM_TEXT = r"(?:[A-Za-z0-9+/=\s:,]|\\[nr]|-(?!-))"
_PEM = re.compile(
    rf"{_PEM_BEGIN}{_PEM_LABEL}"
    rf"(?:{_PEM_TEXT}{{0,{_PEM_BODY_MAX}}}+-----END {_PEM_LABEL}"
    rf"|(?:(?:\s|\\[nr]){{0,8}}[A-Za-z0-9+/]{{24,80}}={{0,2}}){{0,60}})"
)
_PEM_LIVE = re.compile(
    rf"{_PEM_BEGIN}(?:[A-Z0-9 ]{{0,60}}-{{0,4}}|{_PEM_LABEL}{_PEM_TEXT}{{0,{_PEM_BODY_MAX}}}+"
    rf"(?:\\|-|-----END [A-Z0-9 ]{{0,60}}-{{0,4}}|-----(?:E|EN|END)?|-{{2,4}})?)\Z"
)
_PEM_REACH = _PEM_BODY_MAX + 200


def find_secrets(text: str) -> Spans:
    """Keys of known providers, our own keys, and PEM private keys with their body.

    Where the header of a private key has no end mark, the header and the lines of
    base64 after it are taken.
    """
    spans = [key.span(1) for key in _KEY.finditer(text) if _is_key(key[1])]
    if _PEM_BEGIN in text:
        spans.extend(pem.span() for pem in _PEM.finditer(text))
    return spans


def _is_key(key: str) -> bool:
    """Words after ``sk-`` are no key: it has a digit and one long unbroken part."""
    if not key.startswith("sk-"):
        return True
    return _LONG_PART.search(key) is not None and _DIGIT.search(key) is not None


def live_secret(text: str) -> int:
    """Where a secret could begin that reaches the text's end; prose holds nothing."""
    return min(_live_key(text), _live_pem(text))


def _live_key(text: str) -> int:
    if not text or text[-1] not in _KEY_CHARS:
        return len(text)
    offset = max(0, len(text) - _KEY_REACH)
    tail = text[offset:]
    run = len(tail.rstrip(_KEY_CHARS)) + offset
    start = _KEY_START.search(text, run)
    if start:
        return start.start()
    for position in range(max(run, len(text) - _LONGEST_PREFIX), len(text)):
        before = text[position - 1] if position else ""
        if text[position:] in _PARTIAL_KEYS and before not in _ALNUM:
            return position
    return len(text)


def _live_pem(text: str) -> int:
    position = text.find(_PEM_BEGIN, max(0, len(text) - _PEM_REACH))
    while position >= 0:
        if _PEM_LIVE.match(text, position):
            return position
        position = text.find(_PEM_BEGIN, position + 1)
    dash = text.rfind("-", max(0, len(text) - len(_PEM_BEGIN)))
    for length in range(min(len(_PEM_BEGIN), len(text)) if dash >= 0 else 0, 0, -1):
        if text.endswith(_PEM_BEGIN[:length]):
            return len(text) - length
    return len(text)
