"""Fields by which a request could get around its cap; refused wherever they stand.

The cap is spelled ``max_tokens`` (OpenAI: or ``max_completion_tokens``), and how many answers
each take it is spelled ``n``.  Servers know other spellings, some look into objects of their own
or unwrap an ``extra_body``, and which of them serves a model is not the client's to know.  So
every field that a dialect does not define is searched, at any depth.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.errors import invalid
from gateway_extproc.providers.checks import MAX_DEPTH

# Written without case, underscores and hyphens: maxOutputTokens is max_output_tokens.
_CAPS: Final = frozenset(
    {
        *("maxtokens", "maxcompletiontokens", "maxoutputtokens", "maxresponseoutputtokens"),
        *("maxnewtokens", "minnewtokens", "mintokens", "maxgeneratedtokens"),  # TGI, SGLang, vLLM
        *("numpredict", "npredict"),  # Ollama, llama.cpp
        *("maxtokenstosample", "maxtokencount", "maxgenlen"),  # Bedrock
        *("maxgentoks", "maxlength", "minlength", "maxdecodesteps"),
        *("budgettokens", "thinkingbudget", "thinkingbudgettokens", "thinkingtokenbudget"),
        *("maxthinkingtokens", "maxreasoningtokens", "reasoningbudget"),
    }
)
_MULTIPLIERS: Final[dict[str, int | bool]] = {
    "n": 1,
    "ncmpl": 1,  # llama.cpp
    "bestof": 1,  # vLLM
    "usebeamsearch": False,
    "beamwidth": 1,
    "numbeams": 1,  # transformers
    "numbeamgroups": 1,
    "numreturnsequences": 1,
    "numcompletions": 1,
    "numgenerations": 1,  # Cohere
    "numresults": 1,  # AI21
    "candidatecount": 1,  # Gemini
}
_SCHEMAS: Final = frozenset({"guidedjson", "jsonschema", "structuredoutputs", "format"})
"""Objects in which ``maxLength`` is JSON schema's and ``n`` may be the name of a property."""

_PLAIN: Final = str.maketrans("", "", "_-")


def refuse_smuggled(value: Any, key: str) -> None:
    """Raises ``RequestError`` if the undefined field ``key`` is or holds another cap."""
    _search(value, key, key, MAX_DEPTH)


def _search(value: Any, key: str, param: str, levels: int) -> None:
    name = key.translate(_PLAIN).lower()
    if levels == 0:
        raise invalid(param.partition(".")[0], f"at most {MAX_DEPTH} nested levels")
    if type(value) is dict:
        if name not in _SCHEMAS:
            for inner, child in value.items():
                _search(child, inner, f"{param}.{inner}", levels - 1)
    elif type(value) is list:
        for index, child in enumerate(value):
            # Scalars in a list have no name; "stop: [n]" is nobody's cap.
            if type(child) in (dict, list):
                _search(child, "", f"{param}[{index}]", levels - 1)
    elif value is not None:
        _check(value, name, param)


def _check(value: Any, name: str, param: str) -> None:
    if name in _CAPS:
        raise invalid(param, "no such field: 'max_tokens' is how a request names its cap")
    neutral = _MULTIPLIERS.get(name)
    if neutral is not None and (type(value) is not type(neutral) or value != neutral):
        raise invalid(param, f"{str(neutral).lower()} or nothing: one cap is for one answer")
