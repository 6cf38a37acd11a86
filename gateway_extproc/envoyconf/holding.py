"""A filter that holds an answer's headers back until its first byte.

Envoy decides about a retry when headers reach its router, and a stream that begins with headers and
then nothing is past that point: nobody else could be asked any more.  No filter of Envoy 1.40
waits so (Lua's ``bodyChunks`` lets the headers go first), so this is a program for Envoy's Wasm
filter, of seven functions without a single branch:

* ``proxy_on_response_headers`` says StopIteration (1) unless the answer ends there (0);
* ``proxy_on_response_body`` says Continue (0), whereupon Envoy sends on the headers, too;
* the others are what the interface demands of every module, and do nothing.

Interface: Proxy-Wasm ABI 0.2.1.  Encoding: WebAssembly core specification 1.0, chapter 5.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway_extproc.envoyconf.parts import TYPE, Json, named

I32: Final = b"\x7f"
END: Final = b"\x0b"
NOTHING: Final = b""
ZERO: Final = b"\x41\x00"  # i32.const 0
ONE: Final = b"\x41\x01"  # i32.const 1
IS_NOT_THE_END: Final = b"\x20\x02\x45"  # local.get 2 (end_of_stream), i32.eqz
SPARE_ADDRESS: Final = b"\x41\x80\x08"  # i32.const 1024: inside the one page of memory


class Function(NamedTuple):
    """An exported function of ``parameters`` 32-bit numbers that gives one, or nothing."""

    name: str
    parameters: int
    gives: bool
    body: bytes


FUNCTIONS: Final = (
    Function("proxy_abi_version_0_2_1", 0, False, NOTHING),
    Function("proxy_on_memory_allocate", 1, True, SPARE_ADDRESS),
    Function("proxy_on_vm_start", 2, True, ONE),
    Function("proxy_on_configure", 2, True, ONE),
    Function("proxy_on_context_create", 2, False, NOTHING),
    Function("proxy_on_response_headers", 3, True, IS_NOT_THE_END),
    Function("proxy_on_response_body", 3, True, ZERO),
)


def hold_filter() -> Json:
    """The filter, for a cluster's chain."""
    return named(
        "envoy.filters.http.wasm",
        {
            "@type": TYPE + "extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "failure_policy": "FAIL_CLOSED",
                # Without it a filter that stopped at the headers never hears of the body.
                "allow_on_headers_stop_iteration": True,
                "vm_config": {
                    "vm_id": "gateway-hold",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"inline_bytes": base64.b64encode(module()).decode()}},
                },
            },
        },
    )


def module() -> bytes:
    """The program, as a WebAssembly module."""
    numbers = range(len(FUNCTIONS))
    return b"".join(
        (
            b"\0asm\x01\0\0\0",
            _section(1, (_type(function) for function in FUNCTIONS)),
            _section(3, (_number(number) for number in numbers)),
            _section(5, (b"\x00\x01",)),  # one page of memory
            _section(
                7,
                (
                    _text("memory") + b"\x02\x00",
                    *(_text(FUNCTIONS[number].name) + b"\x00" + _number(number)
                      for number in numbers),
                ),
            ),
            _section(10, (_sized(b"\x00" + function.body + END) for function in FUNCTIONS)),
        )
    )  # fmt: skip


def _type(function: Function) -> bytes:
    results = [I32] if function.gives else []
    return b"\x60" + _vector([I32] * function.parameters) + _vector(results)


def _section(number: int, items: Iterable[bytes]) -> bytes:
    return bytes((number,)) + _sized(_vector(list(items)))


def _vector(items: list[bytes]) -> bytes:
    return _number(len(items)) + b"".join(items)


def _text(text: str) -> bytes:
    return _sized(text.encode())


def _sized(data: bytes) -> bytes:
    return _number(len(data)) + data


def _number(value: int) -> bytes:
    """LEB128, unsigned: seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
