"""OpenAI's other interfaces: responses, completions, embeddings, moderations, images, rerank.

Token counts follow the formula in ``answers``.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

from gateway_simulators.answers import Question, Reply, Tool, answer, count_tokens, pieces
from gateway_simulators.openai_checks import bad_json, invalid
from gateway_simulators.shape import Other

CREATED: Final = 1_750_000_000
DIMENSIONS: Final = 8


def _object(document: object, *required: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise bad_json()
    for name in required:
        if not document.get(name):
            raise invalid(f"Missing required parameter: '{name}'.", param=name)
    return document


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(text) for text in value]


# ---------------------------------------------------------------------- embeddings


def embeddings(document: object, seed: str, width: int) -> bytes:
    asked = _object(document, "model", "input")
    texts = _texts(asked["input"])
    tokens = sum(map(count_tokens, texts))
    return orjson.dumps({
        "object": "list", "model": asked["model"],
        "data": [
            {"object": "embedding", "index": index, "embedding": _written(asked, vector_of(text))}
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })  # fmt: skip


def vector_of(text: str) -> list[float]:
    """Numbers that are the same for the same text."""
    digest = blake2b(text.encode(), digest_size=DIMENSIONS).digest()
    return [byte / 256 for byte in digest]


def _written(asked: Mapping[str, Any], vector: list[float]) -> list[float] | str:
    if asked.get("encoding_format") != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


# -------------------------------------------------------------- moderations, images


def moderations(document: object, seed: str, width: int) -> bytes:
    asked = _object(document, "model", "input")
    flagged = ["violence" in text for text in _texts(asked["input"])]
    results = [{"flagged": flag, "categories": {"violence": flag}, "category_scores":
                {"violence": float(flag)}} for flag in flagged]  # fmt: skip
    return orjson.dumps({"id": f"modr-{seed}", "model": asked["model"], "results": results})


def images(document: object, seed: str, width: int) -> bytes:
    asked = _object(document, "model", "prompt")
    tokens = count_tokens(asked["prompt"])
    picture = base64.b64encode(seed.encode()).decode()
    return orjson.dumps({
        "created": CREATED,
        "data": [{"b64_json": picture, "revised_prompt": asked["prompt"]}] * (asked.get("n") or 1),
        "usage": {"input_tokens": tokens, "output_tokens": 100, "total_tokens": tokens + 100},
    })  # fmt: skip


# -------------------------------------------------------------------------- rerank


def rerank(document: object, seed: str, width: int) -> bytes:
    asked = _object(document, "model", "query", "documents")
    words = set(asked["query"].lower().split())
    texts = [item if isinstance(item, str) else item.get("text", "") for item in asked["documents"]]
    scores = [len(words & set(text.lower().split())) / len(words) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: -scores[index])[: asked.get("top_n")]
    tokens = sum(map(count_tokens, [asked["query"], *texts]))
    return orjson.dumps({
        "id": f"rerank-{seed}",
        "results": [{"index": index, "relevance_score": scores[index]} for index in order],
        "meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": tokens}},
    })  # fmt: skip


# --------------------------------------------------------------------- completions


def completions(document: object, seed: str, width: int) -> bytes | Iterator[bytes]:
    asked = _object(document, "model", "prompt")
    prompts = _texts(asked["prompt"])
    replies = [answer(_completion(asked, prompt)) for prompt in prompts]
    usage = {
        "prompt_tokens": sum(map(count_tokens, prompts)),
        "completion_tokens": sum(count_tokens(reply.text) for reply in replies),
    }
    usage["total_tokens"] = sum(usage.values())
    base = {
        "id": f"cmpl-{seed}", "object": "text_completion", "created": CREATED,
        "model": asked["model"],
    }  # fmt: skip
    if asked.get("stream"):
        shows = (asked.get("stream_options") or {}).get("include_usage")
        return _completing(base, replies, usage if shows else None, width)
    choices = [_choice(index, reply.text, reply.stop) for index, reply in enumerate(replies)]
    return orjson.dumps({**base, "choices": choices, "usage": usage})


def _completion(asked: Mapping[str, Any], prompt: str) -> Question:
    cap = asked.get("max_tokens")
    return Question(asked["model"], (prompt,), prompt, max_tokens=16 if cap is None else cap)


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _completing(
    base: dict[str, Any], replies: list[Reply], usage: dict[str, int] | None, width: int
) -> Iterator[bytes]:
    for index, reply in enumerate(replies):
        for piece in pieces(reply.text, width):
            yield _data({**base, "choices": [_choice(index, piece, None)]})
        yield _data({**base, "choices": [_choice(index, "", reply.stop)]})
    if usage is not None:
        yield _data({**base, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _data(document: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(document)


# ----------------------------------------------------------------------- responses


def responses(document: object, seed: str, width: int) -> bytes | Iterator[bytes]:
    asked = _object(document, "model", "input")
    reply = answer(_asked(asked))
    response = _response(asked, reply, seed)
    if asked.get("stream"):
        return _responding(response, reply, width)
    return orjson.dumps(response)


def _asked(asked: Mapping[str, Any]) -> Question:
    items = asked["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    messages = [_said(item) for item in items]
    system = [asked["instructions"]] if asked.get("instructions") else []
    users = [_said(item) for item in items if item.get("role") == "user"]
    results: list[str] = []
    for item in reversed(items):
        if item.get("type") != "function_call_output":
            break
        results.insert(0, item["output"])
    tools = tuple(Tool(t["name"], t.get("parameters") or {}) for t in asked.get("tools") or ())
    return Question(
        asked["model"], (*system, *messages), users[-1] if users else "",
        tool_results=tuple(results), tools=tools, max_tokens=asked.get("max_output_tokens"),
    )  # fmt: skip


def _said(item: Mapping[str, Any]) -> str:
    content = item.get("content", item.get("output", ""))
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _response(asked: Mapping[str, Any], reply: Reply, seed: str) -> dict[str, Any]:
    cut = reply.stop == "length"
    output: list[dict[str, Any]] = [
        {
            "type": "function_call", "id": f"fc_{seed}_{number}",
            "call_id": f"call_{seed}_{number}", "name": call.name,
            "arguments": call.arguments, "status": "completed",
        }
        for number, call in enumerate(reply.calls)
    ] or [{
        "type": "message", "id": f"msg_{seed}", "role": "assistant", "status": "completed",
        "content": [
            {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        ],
    }]  # fmt: skip
    return {
        "id": f"resp_{seed}", "object": "response", "created_at": CREATED,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None, "instructions": asked.get("instructions"), "metadata": {},
        "model": asked["model"], "output": output, "parallel_tool_calls": True,
        "temperature": 1.0, "tool_choice": "auto", "tools": asked.get("tools") or [], "top_p": 1.0,
        "usage": {
            "input_tokens": reply.prompt_tokens, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": reply.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        },
    }  # fmt: skip


def _responding(response: dict[str, Any], reply: Reply, width: int) -> Iterator[bytes]:
    for number, event in enumerate(_response_events(response, width)):
        body = orjson.dumps({**event, "sequence_number": number})
        yield b"event: %b\ndata: %b\n\n" % (event["type"].encode(), body)


def _response_events(response: dict[str, Any], width: int) -> Iterator[dict[str, Any]]:
    """The events of the real API, in its order."""
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        at = {"output_index": index}
        if item["type"] == "function_call":
            opened = {**item, "arguments": "", "status": "in_progress"}
            yield {"type": "response.output_item.added", **at, "item": opened}
            about = {"item_id": item["id"], **at}
            for piece in pieces(item["arguments"], width):
                yield {"type": "response.function_call_arguments.delta", **about, "delta": piece}
            yield {
                "type": "response.function_call_arguments.done", **about,
                "arguments": item["arguments"],
            }  # fmt: skip
        else:
            opened = {**item, "content": [], "status": "in_progress"}
            yield {"type": "response.output_item.added", **at, "item": opened}
            yield from _part_events(item, {"item_id": item["id"], **at, "content_index": 0}, width)
        yield {"type": "response.output_item.done", **at, "item": item}
    yield {"type": f"response.{response['status']}", "response": response}


def _part_events(
    item: dict[str, Any], about: dict[str, Any], width: int
) -> Iterator[dict[str, Any]]:
    (part,) = item["content"]
    yield {"type": "response.content_part.added", **about, "part": {**part, "text": ""}}
    for piece in pieces(part["text"], width):
        yield {"type": "response.output_text.delta", **about, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **about, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **about, "part": part}


OTHERS: Final[Mapping[str, Other]] = {
    "/v1/responses": responses,
    "/v1/completions": completions,
    "/v1/embeddings": embeddings,
    "/v1/moderations": moderations,
    "/v1/images/generations": images,
    "/v1/rerank": rerank,
}
