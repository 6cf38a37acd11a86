"""Secrets without a form of their own: what a name such as ``password`` is set to.

A guess by name and by entropy; meant for flagging rather than for blocking.
"""

from __future__ import annotations

import re
from string import ascii_letters, digits
from typing import Final

from gateway_extproc.guards.keys import is_placeholder
from gateway_extproc.guards.numbers import Spans, merged
from gateway_extproc.guards.scanner import Scanner
from gateway_extproc.guards.shapes import trailing_run

_NAMES = (
    "secret|token[0-9]?|(?:api|access|secret|private|auth|signing"
    "|encryption|master|license|licence|account|session|shared|service|storage|app|application"
    "|consumer|deploy|admin|webhook|hmac|ssh|jwt)[_.-]?key(?:[_-]?id)?|apikey|client[_.-]?secret"
    "|access[_.-]?id|credentials?|[_.\"' -]auth|(?:user|basic|http|proxy|registry)[_.-]?auth|bearer"
)
_PASSWORDS = "pass(?:word|wd|wort|phrase|code)|pwd"
# Products whose keys have no form: a plain "key", "id" or "login" of theirs is a secret too.
_VENDORS = (
    "adobe|algolia|asana|atlassian|jira|confluence|beamer|bitbucket|bittrex|braintree|cloudflare"
    "|cloudinary|codecov|cohere|coinbase|confluent|datadog|dd[_-]?(?:api|app)|discord|droneci|dropbox"
    "|etsy|fastly|finicity|finnhub|flickr|freshbooks|gitter|heroku|hubspot|intercom|jfrog|artifactory"
    "|kraken|kucoin|launchdarkly|linkedin|looker|mailchimp|mailgun|mapbox|mattermost|messagebird"
    "|maxmind|mistral|netlify|new[_-]?relic|nexmo|vonage|nytimes|octopus|okta|pagerduty|plaid|privateai|rapidapi"
    "|segment|sendbird|sendgrid|sentry|shodan|sidekiq|snyk|sonar(?:qube|cloud)?|sourcegraph|square"
    "|squarespace|stripe|sumo(?:logic)?|telegram|terraform|travis(?:ci)?|trello|twilio|twitch|twitter"
    "|typeform|vault|wakatime|yandex|zendesk|zoom"
)
_QUOTES = "[\"'`]"
_OPERATOR = (
    rf"(?:\\?{_QUOTES})?[\])]?[ \t]{{0,12}}(?:[:?]{{0,3}}=>?|:|->|>| value=|,)"
    rf"[ \t]{{0,4}}(?:\\?{_QUOTES})?"
)
_VALUE_CHARS = ascii_letters + digits + "+/_.~!@#$%^&*?-|"
_V = r"[A-Za-z0-9+/_.~!@#$%^&*?|-]"
_LEAST, _MOST = 6, 512
_HITS_MAX = 10_000
_LOOKED_AT = 3_000
"""Values of one text that are weighed; behind them every value of such a name is taken."""

_OF_VENDOR = rf"(?:{_VENDORS})(?:[a-z0-9_. -]{{0,20}}(?:key|id|token|secret|login|pat|api|bot))?"
_IS = rf"(?:{_PASSWORDS}|secret|token|api key) (?:is|was|ist|est|es):? {_QUOTES}?"
_BEARER = "(?:bearer|authorization: ?(?:basic|token|api-token|apikey|key)) "
_CURL = rf"(?:[ \t]-u|--user)[ =]{_QUOTES}?[^\s\"':]{{0,64}}{_QUOTES}?:{_QUOTES}?\{{?"
_BUNDLE = r"BUNDLE_[A-Z0-9_]{3,60} ?= ?[^\s:]{1,40}:"
_DOTNET = r"(?i)key=\"[a-z]{0,20}password\" value=\""
_KUBERNETES = r"(?i)apiVersion: ?[\"']?v1[\"']?\s(?:[^{}]*\s)?data:\s[^{}]*:[ \t]{0,4}(?:[>|]-?\s{1,9})?[\"']?"  # noqa: E501
_KUBERNETES_REACH = 240

_LONG, _SHORT, _PROOF, _ENCODED = range(4)
"""What is asked of a value: ten characters, eight, no entropy at all, base64."""
_FORMS: Final = (
    (rf"(?i)(?:{_PASSWORDS}){_OPERATOR}", _SHORT),
    (rf"(?i)(?:{_NAMES}){_OPERATOR}", _LONG),
    (rf"(?i){_OF_VENDOR}{_OPERATOR}", _LONG),
    (rf"(?i){_IS}", _SHORT),
    (rf"(?i){_BEARER}", _LONG),
    ("(?i)authorization: ?", _LONG),
    (_CURL, _SHORT),
    # Bundler's credentials of a gem server, .NET's clear passwords, Kubernetes' secrets:
    # what stands there is a secret whatever it looks like.
    (_BUNDLE, _PROOF),
    (_DOTNET, _PROOF),
    (_KUBERNETES, _ENCODED),
)
_EXPRESSIONS = tuple(f"{before}{_V}{{{_LEAST}}}" for before, _ in _FORMS)
# The same without bounds and values: a small table for what every text is asked.
GATE: Final = (
    rf"(?i)(?:{_PASSWORDS}|secret|token|key|access|auth|credential|{_VENDORS})[\"'`a-z0-9_.\])\\-]*"
    r"[ \t]*(?:[:?]*=|[:>,]|->| value=|(?:is|was|ist|est|es):? )",
    r"(?i)bearer [A-Za-z0-9+/_.~-]",
    rf"(?i)(?:{_VENDORS})[a-z0-9_. -]*[=:>,\"']",
    r"(?:[ \t]-u|--user)[ =]",
    r"BUNDLE_[A-Z0-9_]+ ?=",
    r"(?i)apiVersion: ?[\"']?v1[\"']?\s",
)
_SCANNER: Final = Scanner(_EXPRESSIONS, most=_HITS_MAX)
_VALUE = re.compile(rf"{_V}{{{_LEAST},{_MOST}}}+={{0,2}}")
_CODE = re.compile(
    r"[$%][A-Za-z_{(]|[A-Za-z_]\w*(?:(?:\.|::)[A-Za-z_]\w*)+\Z|(?:[a-z]+[-_./])+[a-z]+\Z|/[\w/.-]*\Z"
    r"|(?:https?|ftp|file)\b|[a-z][a-z-]*-v?[0-9]+(?:\.[0-9]+)+\Z"
)
_FORM_FIELD = re.compile("(?:csrf|xsrf|authenticity)", re.IGNORECASE)  # of every page
_BASE64 = re.compile("(?=[A-Za-z+/]*[0-9=])[A-Za-z0-9+/=]{12,}")
_LETTER = re.compile("[A-Za-z]")
_DIGIT = re.compile("[0-9]")
_SPECIAL = re.compile(r"[^A-Za-z0-9_./-]")


def find_generic_secrets(text: str) -> Spans:
    """The values of assignments to secret names; the value only, not the name.

    Code, references to variables, plain words and placeholders are no secrets.
    """
    candidates: dict[int, int] = {}
    hits = _SCANNER.hits(text)
    for ident, end in hits:
        start, asked = end - _LEAST, _FORMS[ident][1]
        if text[start - 1] not in _VALUE_CHARS:
            candidates[start] = max(asked, candidates.get(start, asked))
    spans: Spans = []
    for index, (start, asked) in enumerate(candidates.items()):
        value = _VALUE.match(text, start)
        if value and (index >= _LOOKED_AT or _is_secret(value, asked)):
            spans.append(value.span())
    if len(hits) >= _HITS_MAX:
        spans.append((hits[-1][1], len(text)))
    return merged(spans)


def _is_secret(found: re.Match[str], asked: int) -> bool:
    value, core = found[0], found[0].rstrip(".?!=")
    after = found.string[found.end() : found.end() + 1]
    if after in ("(", "[") or is_placeholder(core) or _CODE.match(core):
        return False
    if asked == _PROOF:
        return True
    if _FORM_FIELD.search(found.string, max(0, found.start() - 40), found.start()):
        return False
    if asked == _ENCODED:
        near = found.string[max(0, found.start() - _KUBERNETES_REACH) : found.start()]
        return "apiVersion" in near and _BASE64.fullmatch(value) is not None and len(value) % 4 == 0
    return _is_random(core, 8 if asked == _SHORT else 10)


def _is_random(core: str, least: int) -> bool:
    if _LETTER.search(core) is None:
        return False
    if _DIGIT.search(core) is None:
        return _is_dense_word(core)
    signs = _SPECIAL.search(core) is not None
    return len(set(core.lower())) >= 5 and (len(core) >= least or (signs and least == 8))


def _is_dense_word(core: str) -> bool:
    """Letters only: long and of both cases, or with a sign that words do not have."""
    if _SPECIAL.search(core):
        return len(core) >= 8
    changes = len(re.findall("[a-z][A-Z]|[A-Z][a-z]", core))
    return len(core) >= 16 and changes * 3 >= len(core)


_BEFORE = re.compile(
    rf"(?:(?:{_PASSWORDS}|{_NAMES}|{_OF_VENDOR}){_OPERATOR}|{_IS}|{_BEARER}|authorization: ?|{_CURL}"  # noqa: E501
    rf"|{_BUNDLE})\Z",
    re.IGNORECASE,
)
_BEFORE_REACH = 128
_WORDS_BEFORE = ("bearer", " is", " was", " ist", " est", " es", "basic", "token", "key")


def live_generic_secret(text: str) -> int:
    """The beginning of a value at the end of the text, where a secret's name is set to it."""
    end = len(text)
    while end and text[end - 1] == "=" and len(text) - end < 2:
        end -= 1
    run = trailing_run(text[:end] if end < len(text) else text, _VALUE_CHARS, _MOST + 1)
    if not 0 < end - run <= _MOST:
        return len(text)
    before = text[max(0, run - 24) : run].rstrip(" \t\"'`{\\")
    if "data:" in text[max(0, run - _KUBERNETES_REACH) : run]:
        return run
    if not before or not (before[-1] in "=:>," or before.lower().endswith(_WORDS_BEFORE)):
        return len(text)
    named = _BEFORE.search(text, max(0, run - _BEFORE_REACH), run)
    return run if named else len(text)
