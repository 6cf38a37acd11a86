"""Masking, restoring, leaks and formats: what they cost, what they find, what they hold back.

Processor time of one call in this process, the best of several rounds.  With a folder of
labelled texts as argument also the findings of the leak detector on system prompts and answers
of it: ``*_benign.jsonl`` are the answers, ``cse_system_prompts_benign.jsonl`` the prompts.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway_extproc.core.chat import Chunk, TextDelta
from gateway_extproc.guards.canary import CanaryWatch, canary, tells_canary
from gateway_extproc.guards.formats import Format, Shape
from gateway_extproc.guards.leak import Leak, Prompt, find_copy
from gateway_extproc.guards.masking import Mask
from gateway_extproc.guards.placeholders import Placeholders
from gateway_extproc.guards.restore import Restorer, restore, reversible

KEY: Final = bytes(32)
SYSTEM: Final = (
    "You are the assistant of a library. Answer in the language of the reader, in at most five "
    "sentences, never lend a book that is reserved, and do not tell that the code of the staff "
    "entrance is four one seven nine. If somebody asks for it, speak about the opening hours. "
) * 3
PROSE: Final = (
    "The reading room opens at nine [see the plan], and whoever is earlier may wait in the hall; "
    "coffee is sold there. Lists such as a[0], [ ] and [x] are nothing special in answers. "
) * 6
ANSWER: Final = json.dumps({"books": [{"title": "A Tale", "year": 1859, "tags": ["old"]}] * 16})
SCHEMA: Final = {
    "type": "object",
    "properties": {
        "books": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "title": {"type": "string", "maxLength": 200},
                    "year": {"type": "integer"},
                    "tags": {"type": "array", "items": {"enum": ["old", "new"]}},
                },
                "required": ["title", "year"],
            },
        }
    },
    "required": ["books"],
}
CHUNK: Final = 4
CHUNKS: Final = [PROSE[at : at + CHUNK] for at in range(0, 1024, CHUNK)]
DROPPED: Final = 0.15
PART: Final = 20


def main() -> None:
    _costs()
    _holds()
    if len(sys.argv) > 1:
        _leaks(Path(sys.argv[1]))


def us(call: Callable[[], object], times: int = 200) -> float:
    """Microseconds of processor time for one call."""
    best = float("inf")
    for _ in range(7):
        began = time.thread_time()
        for _ in range(times):
            call()
        best = min(best, (time.thread_time() - began) / times)
    return best * 1e6


def _show(what: str, value: float, unit: str = "us") -> None:
    print(f"{what:<58}{value:10.2f} {unit}")


# ------------------------------------------------------------------------------ costs


def _held() -> Placeholders:
    placeholders = Placeholders()
    for number in range(20):
        placeholders.for_value("email", f"reader{number}@example.org")
    return placeholders


def _costs() -> None:
    text = PROSE[:1024]
    marked = text.replace("coffee", "[EMAIL-7]")
    arguments = json.dumps({"text": marked})
    held = _held()
    masks = [Mask(100, 120, "[EMAIL]"), Mask(300, 320, "[CARD]")]
    _show("placeholders of a request of 1 KB, two values", us(lambda: _mask(text, masks)))
    _show("restore 1 KB without placeholders", us(lambda: restore(text, held, as_json=False)))
    _show("restore 1 KB with six", us(lambda: restore(marked, held, as_json=False)))
    _show("restore 1 KB of arguments with six", us(lambda: restore(arguments, held, as_json=True)))
    _show("restorer, each chunk of 4 characters", us(lambda: _restore_stream(held), 20) / 256)
    blob = held.export(KEY, tenant="t", conversation="c", nonce=bytes(12))
    _show("keep a map of 20 values", us(lambda: _keep(held)))
    _show("open it", us(lambda: Placeholders.load(blob, KEY, tenant="t", conversation="c")))
    prompt, words = Prompt([SYSTEM]), len(SYSTEM.split())
    _show(f"leak: runs of a prompt of {words} words, once", us(lambda: Prompt([SYSTEM]), 10))
    _show("leak: what a user's 1 KB takes from it", us(lambda: prompt.without([text])))
    _show("leak: 1 KB", us(lambda: find_copy(text, prompt)))
    _show("leak: each chunk of 4 characters", us(lambda: _leak_stream(prompt), 20) / 256)
    mark = canary("request", KEY)
    _show("canary: make", us(lambda: canary("request", KEY)))
    _show("canary: 1 KB", us(lambda: tells_canary(text, mark)))
    _show("canary: each chunk of 4 characters", us(lambda: _canary_stream(mark), 20) / 256)
    shape = Shape(schema=json.dumps(SCHEMA).encode())
    checked = Format(shape)
    _show("format: compile a schema", us(lambda: Format(shape), 50))
    _show(f"format: check an answer of {len(ANSWER)} bytes", us(lambda: checked.check(ANSWER)))
    fenced = f"Sure:\n```json\n{ANSWER[:-2]},]}}\n```"
    _show("format: repair it", us(lambda: checked.repair(fenced), 20))


def _mask(text: str, masks: Sequence[Mask]) -> list[Mask]:
    return reversible(text, masks, Placeholders([text]), as_json=False)


def _keep(held: Placeholders) -> bytes:
    return held.export(KEY, tenant="t", conversation="c", nonce=bytes(12))


def _chunk(text: str) -> Chunk:
    return Chunk(b"", None, (TextDelta((0, "content"), text),))


STREAM: Final = [_chunk(text) for text in CHUNKS]


def _restore_stream(held: Placeholders) -> None:
    restorer = Restorer(held)
    for chunk in STREAM:
        restorer.push([chunk], last=False)


def _leak_stream(prompt: Prompt) -> None:
    leak = Leak(prompt)
    for text in CHUNKS:
        leak.push(text)


def _canary_stream(mark: str) -> None:
    watch = CanaryWatch(mark)
    for text in CHUNKS:
        watch.push(text)


# ------------------------------------------------------------------------------- holds


def _holds() -> None:
    """Characters that the restorer holds back after each chunk of ordinary prose."""
    restorer = Restorer(_held())
    taken, left, held = 0, 0, []
    for chunk in STREAM:
        taken += CHUNK
        for out in restorer.push([chunk], last=False):
            left += sum(len(event.text) for event in out.events if isinstance(event, TextDelta))
        held.append(taken - left)
    held.sort()
    _show("restorer holds back, p50", held[len(held) // 2], "characters")
    _show("restorer holds back, p99", held[len(held) * 99 // 100], "characters")


# ------------------------------------------------------------------------------- leaks


def _texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


def _leaks(folder: Path) -> None:
    systems = _texts(folder / "cse_system_prompts_benign.jsonl")
    prompts = [Prompt([system]) for system in systems]
    paths = sorted(set(folder.glob("*_benign*.jsonl")))
    answers = [text for path in paths if "system" not in path.name for text in _texts(path)]
    whole = sum(
        find_copy(f"Sure. {system} Bye.", prompt) is not None
        for system, prompt in zip(systems, prompts, strict=True)
    )
    print(f"full copies found               {whole} of {len(systems)}")
    parts = [
        find_copy("Well, " + " ".join(words[at : at + PART]) + " and so on", prompt) is not None
        for words, prompt in zip((system.split() for system in systems), prompts, strict=True)
        for at in range(len(words) - PART + 1)
    ]
    print(f"copies of {PART} words found        {sum(parts)} of {len(parts)}")
    source = random.Random(1)
    thinned = [
        (len(system.split()), find_copy(_thin(system, source), prompt) is not None)
        for system, prompt in zip(systems, prompts, strict=True)
        for _ in range(50)
    ]
    found = sum(told for _, told in thinned)
    print(f"copies without 15% of the words {found} of {len(thinned)}", end=", ")
    several = [told for words, told in thinned if words > 4]
    print(f"of prompts of five words and more {sum(several)} of {len(several)}")
    wrong = sum(find_copy(answer, prompt) is not None for answer in answers for prompt in prompts)
    print(f"false findings                  {wrong} of {len(answers) * len(prompts)} pairs")


def _thin(system: str, source: random.Random) -> str:
    words = system.split()
    gone = set(source.sample(range(len(words)), round(len(words) * DROPPED)))
    return " ".join(word for at, word in enumerate(words) if at not in gone)


if __name__ == "__main__":
    main()
