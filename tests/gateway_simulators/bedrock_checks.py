"""Does a request to Converse hold what Amazon Bedrock requires, and is it signed as AWS wants it?

The signature is judged by botocore: what it makes of the same request must be what came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from gateway_simulators.answers import Question, Tool, ToolMode
from gateway_simulators.connection import Request
from gateway_simulators.problem import Problem

FIELDS: Final = frozenset(
    {
        *("messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig"),
        *("additionalModelRequestFields", "additionalModelResponseFieldPaths", "promptVariables"),
        *("requestMetadata", "performanceConfig", "serviceTier", "outputConfig"),
    }
)
INFERENCE: Final = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
BLOCKS: Final = frozenset(
    {
        *("text", "image", "document", "video", "toolUse", "toolResult", "guardContent"),
        *("cachePoint", "reasoningContent"),
    }
)
FORMATS: Final = ("png", "jpeg", "gif", "webp")
_TOOL_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_CREDENTIAL: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)
_NEEDED: Final = frozenset({"host", "x-amz-date"})


def invalid(message: str, status: int = 400) -> Problem:
    return Problem(status, "ValidationException", message)


def check_signature(request: Request, key: str | None) -> None:
    """``key`` is the credential as JSON; its region is ``region`` there, if it names one."""
    headers = dict(request.headers)
    if "authorization" not in headers:
        raise Problem(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    found = _CREDENTIAL.fullmatch(headers["authorization"])
    if found is None:
        message = "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature'."
        raise Problem(403, "IncompleteSignatureException", message)
    if key is None:
        return
    expected = json.loads(key)
    key_id, _, region, service, names, signature = found.groups()
    if key_id != expected["aws_access_key_id"]:
        message = "The security token included in the request is invalid."
        raise Problem(403, "UnrecognizedClientException", message)
    signed = names.split(";")
    if service != "bedrock" or not set(signed) >= _NEEDED:
        raise Problem(
            403, "InvalidSignatureException", f"wrong scope or headers: {service} {names}"
        )
    if region != expected.get("region", region):
        raise Problem(403, "InvalidSignatureException", f"Credential should be scoped to {region}")
    if headers.get("x-amz-security-token", "") != expected.get("aws_session_token", ""):
        raise Problem(403, "ExpiredTokenException", "The security token is missing or expired")
    if _signature(request, expected, region, signed) != signature:
        message = "The request signature we calculated does not match the signature you provided."
        raise Problem(403, "InvalidSignatureException", message)


def _signature(request: Request, key: Mapping[str, str], region: str, signed: list[str]) -> str:
    """botocore's signature of the same request at the same time."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    headers = dict(request.headers)
    auth = SigV4Auth(
        Credentials(key["aws_access_key_id"], key["aws_secret_access_key"]), "bedrock", region
    )
    sent = AWSRequest(
        method=request.method,
        url=f"http://{headers['host']}{request.path}",
        data=request.body,
        headers={name: value for name, value in headers.items() if name in signed},
    )
    sent.context["timestamp"] = headers["x-amz-date"]
    to_sign = auth.string_to_sign(sent, auth.canonical_request(sent))
    return str(auth.signature(to_sign, sent))


def read(document: object, model: str, *, stream: bool) -> Question:
    """The question in a request; raises ``Problem``."""
    document = _object(document, "request")
    _only(document, FIELDS)
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("A conversation must start with a user message.")
    turns = [_turn(message, number, messages) for number, message in enumerate(messages)]
    system = document.get("system") or []
    for block in system:
        _not_blank(block.get("text"), "system")
    config = _object(document.get("inferenceConfig", {}), "inferenceConfig")
    _only(config, INFERENCE)
    temperature = config.get("temperature")
    if temperature is not None and not 0 <= temperature <= 1:
        raise invalid("Value at 'inferenceConfig.temperature' failed: must be at most 1.0")
    tools, mode, named = _tools(document, messages)
    texts = ("".join(block["text"] for block in system),) if system else ()
    return Question(
        model=model,
        messages=(*texts, *(text for text, _ in turns)),
        last_user=next(
            text
            for (text, _), message in zip(reversed(turns), reversed(messages), strict=True)
            if message["role"] == "user"
        ),
        tool_results=turns[-1][1],
        tools=tools,
        tool_mode=mode,
        tool_name=named,
        max_tokens=config.get("maxTokens"),
        stop_sequences=tuple(config.get("stopSequences") or ()),
        stream=stream,
        wants_usage=True,
    )


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"Malformed input request: {where} should be an object")
    return value


def _only(document: Mapping[str, Any], fields: frozenset[str]) -> None:
    for name in document:
        if name not in fields:
            raise invalid(f"Malformed input request: extraneous key [{name}] is not permitted")


def _not_blank(text: object, where: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise invalid(f"The text field in the ContentBlock object at {where} is blank.")
    return text


def _turn(
    value: object, number: int, messages: list[dict[str, Any]]
) -> tuple[str, tuple[str, ...]]:
    """The text and the results of one message."""
    where = f"messages.{number}"
    message = _object(value, where)
    expected = ("user", "assistant")[number % 2]
    if message.get("role") != expected:
        if number == 0:
            raise invalid("A conversation must start with a user message.")
        raise invalid("A conversation must alternate between user and assistant roles.")
    texts: list[str] = []
    results: list[str] = []
    for index, block in enumerate(message.get("content") or ()):
        at = f"{where}.content.{index}"
        kinds = BLOCKS & _object(block, at).keys()
        if len(kinds) != 1 or len(block) != 1:
            raise invalid(f"The ContentBlock object at {at} must set exactly one of its keys.")
        if "text" in block:
            texts.append(_not_blank(block["text"], at))
        elif "image" in block and block["image"].get("format") not in FORMATS:
            raise invalid(f"Value at '{at}.image.format' failed to satisfy the enum.")
        elif "toolUse" in block:
            _tool_id(block["toolUse"], at)
        elif "toolResult" in block:
            _answers(block["toolResult"], messages[number - 1] if number else {}, at)
            text = "".join(part.get("text", "") for part in block["toolResult"]["content"])
            results.append(text)
            texts.append(text)
    return "".join(texts), tuple(results)


def _tool_id(called: Mapping[str, Any], where: str) -> str:
    tool_id = called.get("toolUseId")
    if not isinstance(tool_id, str) or not _TOOL_ID.fullmatch(tool_id):
        raise invalid(f"Value at '{where}.toolUseId' failed to satisfy the pattern.")
    return tool_id


def _answers(result: Mapping[str, Any], before: Mapping[str, Any], where: str) -> None:
    tool_id = _tool_id(result, where)
    asked = [
        block["toolUse"]["toolUseId"] for block in before.get("content") or () if "toolUse" in block
    ]
    if tool_id not in asked:
        raise invalid(
            "The number of toolResult blocks exceeds the number of toolUse blocks of previous turn."
        )


def _tools(
    document: Mapping[str, Any], messages: list[dict[str, Any]]
) -> tuple[tuple[Tool, ...], ToolMode, str | None]:
    config = document.get("toolConfig")
    if config is None:
        if any("toolUse" in block for message in messages for block in message["content"]):
            message = "The toolConfig field must be defined when using toolUse and toolResult."
            raise invalid(message)
        return (), "auto", None
    tools = tuple(
        Tool(one["toolSpec"]["name"], one["toolSpec"]["inputSchema"]["json"])
        for one in config["tools"]
    )
    choice = config.get("toolChoice") or {"auto": {}}
    (kind,) = choice
    if kind == "tool":
        return tools, "named", choice["tool"]["name"]
    modes: dict[str, ToolMode] = {"auto": "auto", "any": "required"}
    if kind not in modes:
        raise invalid(f"Malformed input request: extraneous key [{kind}] is not permitted")
    return tools, modes[kind], None
