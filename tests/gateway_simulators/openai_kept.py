"""What OpenAI keeps: files and batches.  A batch is done when somebody asks for the second time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway_simulators.answers import answer
from gateway_simulators.connection import Request
from gateway_simulators.openai_audio import JSON, Said, read_parts
from gateway_simulators.openai_checks import invalid, read

CREATED: Final = 1_750_000_000
_PATH: Final = re.compile(r"/v1/(files|batches|fine_tuning)(?:/([^/]+))?(?:/([^/]+))?")
Write = Callable[[Any, Any, str], bytes]
"""Writes an answer to a question: question, reply, seed."""


@dataclass
class Kept:
    """All files and batches of one provider: of its only account."""

    files: dict[str, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)

    def serves(self, path: str) -> bool:
        return _PATH.fullmatch(path) is not None

    def serve(self, request: Request, write: Write) -> Said:
        path = request.path.partition("?")[0]
        found = _PATH.fullmatch(path)
        assert found is not None
        kind, name, verb = found.groups()
        if kind == "fine_tuning":
            told = {"method": request.method, "path": request.path,
                    "body": request.body.decode(), "object": "fine_tuning.job"}  # fmt: skip
            return _said(told)
        match kind, request.method, name, verb:
            case "files", "POST", None, None:
                return _said(self._keep(request))
            case "files", "GET", str(), None:
                return _said(self._file(name)[0])
            case "files", "GET", str(), "content":
                return Said("application/octet-stream", self._file(name)[1])
            case "files", "DELETE", str(), None:
                del self.files[self._file(name)[0]["id"]]
                return _said({"id": name, "object": "file", "deleted": True})
            case "batches", "POST", None, None:
                return _said(self._begin(orjson.loads(request.body), write))
            case "batches", "GET", str(), None:
                batch = self._batch(name)
                self.batches[name] = {**batch, **batch["after"], "after": {}}
                return _said(batch)
            case "batches", "POST", str(), "cancel":
                return _said({**self._batch(name), "status": "cancelling"})
        raise invalid(f"Not allowed to {request.method} on {path}.", status=405)

    def _keep(self, request: Request) -> dict[str, Any]:
        parts = dict(read_parts(request))
        return self._add(parts["file"].data, parts["purpose"].data.decode(), "upload.jsonl")

    def _add(self, data: bytes, purpose: str, filename: str) -> dict[str, Any]:
        name = f"file-sim{len(self.files) + 1:020d}"
        told = {"id": name, "object": "file", "bytes": len(data), "created_at": CREATED,
                "filename": filename, "purpose": purpose, "status": "processed"}  # fmt: skip
        self.files[name] = (told, data)
        return told

    def _file(self, name: str) -> tuple[dict[str, Any], bytes]:
        if name not in self.files:
            raise invalid(f"No such File object: {name}", param="id", status=404)
        return self.files[name]

    def _batch(self, name: str) -> dict[str, Any]:
        if name not in self.batches:
            raise invalid(f"No batch found with id '{name}'.", status=404)
        return self.batches[name]

    def _begin(self, asked: dict[str, Any], write: Write) -> dict[str, Any]:
        name = f"batch_sim{len(self.batches) + 1:020d}"
        _, data = self._file(asked["input_file_id"])
        lines = [self._answer(orjson.loads(line), write) for line in data.splitlines()]
        output = self._add(b"\n".join(map(orjson.dumps, lines)) + b"\n", "batch_output", "o.jsonl")
        batch = {
            "id": name, "object": "batch", "endpoint": asked["endpoint"], "errors": None,
            "input_file_id": asked["input_file_id"], "completion_window": "24h",
            "status": "validating", "output_file_id": None, "error_file_id": None,
            "created_at": CREATED, "metadata": asked.get("metadata"), "model": "gpt-4o-mini-2024",
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "after": {"status": "completed", "output_file_id": output["id"]},
        }  # fmt: skip
        self.batches[name] = batch
        return batch

    def _answer(self, line: dict[str, Any], write: Write) -> dict[str, Any]:
        question = read(line["body"])
        body = orjson.loads(write(question, answer(question), line["custom_id"]))
        response = {"status_code": 200, "request_id": "req_sim", "body": body}
        return {"id": "batch_req_sim", "custom_id": line["custom_id"], "response": response,
                "error": None}  # fmt: skip


def _said(document: dict[str, Any]) -> Said:
    return Said(JSON, orjson.dumps({k: v for k, v in document.items() if k != "after"}))
