"""Cohere's other interfaces: embeddings, and rerank for the clients of everybody's.

The rules are those of Cohere's API reference for ``POST /v2/embed`` and ``POST /v2/rerank``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.core.ports import Release
from gateway_extproc.providers import checks
from gateway_extproc.providers.checks import name_of
from gateway_extproc.providers.cohere.usage import read_usage
from gateway_extproc.providers.fields import cannot
from gateway_extproc.providers.interface import Interface, answer_leaves, only_model, read_plain
from gateway_extproc.providers.openai.plain import PLAIN
from gateway_extproc.providers.problems import Unreadable

# ---------------------------------------------------------------------- embeddings

MOST_INPUTS: Final = 96
"""Texts of one request."""


def _some(value: Any, param: str) -> None:
    if type(value) is not list or not 1 <= len(value) <= MOST_INPUTS:
        raise invalid(param, f"an array of 1 to {MOST_INPUTS}")


def _texts(value: Any, param: str) -> None:
    _some(value, param)
    checks.strings(value, param)


_EMBED: Final[dict[str, checks.Check]] = {
    "embedding_types": checks.strings,
    "images": _texts,
    "input_type": checks.string,
    "inputs": _some,
    "max_tokens": checks.integer(1),  # of each text: what is longer is cut
    "output_dimension": checks.integer(1),
    "priority": checks.integer(0),
    "truncate": checks.string,
}


def _read_embed(document: Document) -> LlmRequest:
    checks.name(document.get("input_type"), "input_type")
    checks.optional(_texts)(document.get("texts"), "texts")
    asked = [key for key in ("texts", "images", "inputs") if document.get(key)]
    if len(asked) != 1:
        raise invalid("texts", "exactly one of: texts, images, inputs")
    request = read_plain("cohere", "embed", document, _EMBED, {})
    texts, images = _inputs(document.get("inputs") or ())
    return replace(
        request,
        texts=(*request.texts, *texts),
        media=images + len(document.get("images") or ()),
    )


def _inputs(inputs: Any) -> tuple[list[TextAt], int]:
    """The texts of mixed inputs, and how many images stand between them."""
    texts: list[TextAt] = []
    images = 0
    for index, item in enumerate(inputs):
        checks.obj(item, f"inputs[{index}]")
        content = checks.get(item, "content", checks.array, ("inputs", index))
        for number, part in enumerate(content):
            path = ("inputs", index, "content", number)
            checks.obj(part, name_of(path))
            if part.get("type") == "image_url":
                images += 1
            elif part.get("type") == "text":
                text = checks.get(part, "text", checks.string, path)
                texts.append(TextAt((*path, "text"), "user", text))
            else:
                raise invalid(name_of((*path, "type")), "'text' or 'image_url'")
    return texts, images


def _embedded(document: Document, raw: bytes) -> Release:
    if type(document.get("embeddings")) not in (dict, list):
        raise Unreadable
    return Release(
        document=document,
        raw=raw,
        texts=answer_leaves(document.get("texts"), ("texts",)),
        usage=read_usage(document.get("meta")),
        stop_reason="stop",
    )


EMBED: Final = Interface("embed", "/v2/embed", _read_embed, only_model, _embedded)

# -------------------------------------------------------------------------- rerank

_EVERYBODYS: Final = next(interface for interface in PLAIN if interface.endpoint == "rerank")
_OLDER: Final = ("rank_fields", "max_chunks_per_doc")
"""Fields of the first version, which others still serve."""


def _edit_rerank(
    request: LlmRequest, model: str, max_tokens: int, force_usage: bool
) -> dict[str, Any]:
    """The second version's documents are texts; raises ``RequestError`` for what it left behind."""
    document = request.document
    for name in _OLDER:
        if document.get(name) is not None:
            raise cannot((name,), "cohere")
    if document.get("return_documents"):
        raise cannot(("return_documents",), "cohere")
    edits: dict[str, Any] = {"model": model}
    if any(type(item) is dict for item in document["documents"]):
        edits["documents"] = [_text(item, i) for i, item in enumerate(document["documents"])]
    return edits


def _text(item: Any, index: int) -> str:
    if type(item) is str:
        return item
    if item.keys() != {"text"} or type(item["text"]) is not str:
        raise cannot(("documents", index), "cohere")
    text: str = item["text"]
    return text


RERANK: Final = replace(_EVERYBODYS, path="/v2/rerank", edit=_edit_rerank)
"""The interface that clients know as OpenAI-compatible servers', at Cohere."""
