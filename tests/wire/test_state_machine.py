"""Another HTTP/2 implementation as the peer of the fast server, in any order and any cut.

``h2`` plays a correct client on several streams; hypothesis chooses what it does and when.
``h2`` itself checks the server's frames, states and windows: it raises when one is wrong.
What is checked here: every message comes back whole and in order, every stream ends with
exactly one status, and nothing is left behind.

``make test-wire-long`` runs 10,000 examples.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway_extproc.core.ports import Load
from gateway_extproc.wire.fast_server import FastServer
from support import frames
from support.frames import Code
from support.wires import Puppet

EXAMPLES = int(os.environ.get("WIRE_EXAMPLES", "60"))
STREAMS = 8
QUIET_TURNS = 6
ROOMY = 1 << 20
SIZES = (0, 1, 5, 100, 3_000, 16_379, 16_380, 70_000)
"""Of messages: around a frame's size, and above a window's."""


class Bench:
    """One server for all examples, on a loop that turns only when it is told to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.puppet = Puppet()
        self.path = f"{tempfile.mkdtemp(prefix='wire-')}/wire.sock"
        self.server = FastServer(self.puppet, Load(), f"unix:{self.path}")
        self.faults: list[str] = []
        loop.set_exception_handler(lambda _, context: self.faults.append(str(context)))
        loop.run_until_complete(self.server.start())

    def turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def close(self) -> None:
        self.loop.run_until_complete(self.server.drain(0))
        self.loop.close()


@dataclass
class Sent:
    """One stream as the client knows it."""

    waiting: bytearray = field(default_factory=bytearray)
    """Bytes of messages that are not sent yet."""
    payload: bytearray = field(default_factory=bytearray)
    """Bytes that were sent."""
    received: bytearray = field(default_factory=bytearray)
    unacknowledged: int = 0
    statuses: list[str] = field(default_factory=list)
    early: bool = False
    """Its handler leaves after the first message."""
    done: bool = False
    """We sent our last byte."""
    given_up: bool = False
    """We reset it."""
    ended: bool = False
    """The server ended its half, or the stream."""

    @property
    def sends(self) -> bool:
        return not (self.done or self.given_up or self.ended)

    @property
    def lives(self) -> bool:
        return not (self.given_up or self.ended)

    def expected(self) -> tuple[bytes, str]:
        """What the server must have answered in the end, and its status."""
        whole = _whole(self.payload)
        if self.early:
            first = bytes(self.payload[5:whole])
            return (frames.message(first.removeprefix(b"return:")) if first else b""), "0"
        return bytes(self.payload[:whole]), "0" if whole == len(self.payload) else "13"


def _whole(payload: bytearray) -> int:
    """Where the last whole message ends."""
    at = 0
    while len(payload) >= at + 5:
        end = at + 5 + int.from_bytes(payload[at + 1 : at + 5], "big")
        if end > len(payload):
            break
        at = end
    return at


class WireMachine(RuleBasedStateMachine):
    """A client of one connection; subclasses say on which loop the server runs."""

    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(self.bench.path)
        self.socket.setblocking(False)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.streams: dict[int, Sent] = {}
        self.bytes = bytearray()
        self.pings = 0
        self.changes = 1
        """SETTINGS that were not acknowledged yet; the first are those of the greeting."""
        self.cut = 0
        self.flush()
        self.settle()

    # ---------------------------------------------------------------- the connection

    def flush(self) -> None:
        """Everything that ``h2`` wants to say goes out, in pieces if so chosen."""
        data = self.h2.data_to_send()
        step = self.cut or len(data)
        for at in range(0, len(data), max(step, 1)):
            self.write(data[at : at + step])
            if self.cut:
                self.turn()

    def write(self, data: bytes) -> None:
        while data:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                self.turn()

    def turn(self) -> bool:
        """One turn of the server's loop; whether something came of it."""
        self.bench.turn()
        came = False
        with contextlib.suppress(BlockingIOError):
            while got := self.socket.recv(1 << 18):
                came = True
                self.bytes += got
                self.read_frames()
            raise AssertionError("the server ended the connection")
        return came

    def read_frames(self) -> None:
        """One by one: ``h2`` obeys a new frame size only from its next call on."""
        while len(self.bytes) >= 9:
            size = 9 + int.from_bytes(self.bytes[:3], "big")
            if size > len(self.bytes):
                return
            for event in self.h2.receive_data(bytes(self.bytes[:size])):
                self.take(event)
            del self.bytes[:size]

    def change(self, name: h2.settings.SettingCodes, value: int) -> None:
        """Sends SETTINGS, never two at a time.

        ``h2`` takes an acknowledgement for one change of *every* setting that it has announced, so
        with two on their way it would obey the second before the server can know of it.
        """
        if self.changes:
            self.settle()
        assert not self.changes, "SETTINGS were not acknowledged"
        self.h2.update_settings({name: value})
        self.changes += 1
        self.flush()

    def settle(self) -> None:
        """Turns until nothing more comes; acknowledgements that ``h2`` makes go out, too."""
        quiet = 0
        while quiet < QUIET_TURNS:
            quiet = 0 if self.turn() else quiet + 1
            if answer := self.h2.data_to_send():
                self.write(answer)
                quiet = 0

    def take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived():
                sent = self.streams[event.stream_id]
                sent.received += event.data
                sent.unacknowledged += event.flow_controlled_length
            case h2.events.TrailersReceived() | h2.events.ResponseReceived():
                fields = {str(name): str(value) for name, value in event.headers}
                if "grpc-status" in fields:
                    self.streams[event.stream_id].statuses.append(fields["grpc-status"])
            case h2.events.StreamEnded():
                self.streams[event.stream_id].ended = True
            case h2.events.StreamReset():
                # Only behind trailers, to say that the rest of the request is not wanted.
                assert event.error_code == Code.NO_ERROR
                assert self.streams[event.stream_id].ended
            case h2.events.PingAckReceived():
                self.pings -= 1
            case h2.events.SettingsAcknowledged():
                self.changes -= 1
            case h2.events.ConnectionTerminated():
                raise AssertionError(f"GOAWAY {event.error_code} {event.additional_data!r}")

    def pick(self, choice: int, fits: Callable[[Sent], bool]) -> int | None:
        found = [number for number, sent in self.streams.items() if fits(sent)]
        return found[choice % len(found)] if found else None

    # ------------------------------------------------------------------------- rules

    @precondition(lambda self: sum(sent.lives for sent in self.streams.values()) < STREAMS)
    @rule(early=st.integers(0, 7), more=st.integers(0, 2))
    def open(self, early: int, more: int) -> None:
        number = self.h2.get_next_available_stream_id()
        fields = frames.request(*((f"x-{n}", "v" * 100 * n) for n in range(more)))
        self.h2.send_headers(number, fields)
        sent = self.streams[number] = Sent(early=early == 0)
        if sent.early:
            sent.waiting += frames.message(b"return:bye")
        self.flush()

    @rule(
        choice=st.integers(0, 99),
        size=st.sampled_from([0, 1, 5, 100, 3_000, 16_379, 16_380, 70_000]),
    )
    def queue(self, choice: int, size: int) -> None:
        number = self.pick(choice, lambda sent: sent.sends and not sent.early)
        if number is not None:
            sent = self.streams[number]
            start = b"%d.%d " % (number, len(sent.payload) + len(sent.waiting))
            sent.waiting += frames.message((start * (size // len(start) + 1))[:size])

    @rule(choice=st.integers(0, 99), size=st.integers(0, 40_000), padding=st.integers(-200, 255))
    def send(self, choice: int, size: int, padding: int) -> None:
        """As many bytes as chosen and allowed, in one frame, padded or not, maybe empty."""
        number = self.pick(choice, lambda sent: sent.sends)
        if number is None:
            return
        sent = self.streams[number]
        pad = padding if padding >= 0 else None
        room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
        room -= 0 if pad is None else pad + 1
        if room < 0:
            return
        piece = bytes(sent.waiting[: min(size, room)])
        self.h2.send_data(number, piece, pad_length=pad)
        del sent.waiting[: len(piece)]
        sent.payload += piece
        self.flush()

    @rule(choice=st.integers(0, 99))
    def send_all(self, choice: int) -> None:
        number = self.pick(choice, lambda sent: sent.sends and bool(sent.waiting))
        if number is not None:
            self.drain(number)

    @rule(count=st.integers(1, 3))
    def crowd(self, count: int) -> None:
        """Every stream has whole frames to echo: together more than the connection's window.

        They come uncut: a turn of the loop for each byte would cost more than all other rules.
        """
        cut, self.cut = self.cut, 0
        for number, sent in self.streams.items():
            if sent.sends and not sent.early:
                sent.waiting += frames.message(b"%d " % number + bytes(16_000)) * count
                self.drain(number)
        self.cut = cut

    def drain(self, number: int) -> None:
        sent = self.streams[number]
        while sent.waiting and sent.sends:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room <= 0:
                return
            piece = bytes(sent.waiting[:room])
            self.h2.send_data(number, piece)
            del sent.waiting[: len(piece)]
            sent.payload += piece
            self.flush()

    @rule(choice=st.integers(0, 99), trailers=st.booleans())
    def half_close(self, choice: int, trailers: bool) -> None:
        """Also inside a message: what waits is never sent."""
        number = self.pick(choice, lambda sent: sent.sends)
        if number is None:
            return
        self.streams[number].done = True
        if trailers:
            self.h2.send_headers(number, [("x-trailer", "1")], end_stream=True)
        else:
            self.h2.end_stream(number)
        self.flush()

    @rule(choice=st.integers(0, 99), code=st.sampled_from([Code.CANCEL, Code.NO_ERROR, 99]))
    def reset(self, choice: int, code: int) -> None:
        number = self.pick(choice, lambda sent: sent.lives)
        if number is not None:
            self.streams[number].given_up = True
            self.h2.reset_stream(number, code)
            self.flush()

    @rule()
    def ping(self) -> None:
        self.pings += 1
        self.h2.ping(b"12345678")
        self.flush()

    @rule(value=st.sampled_from([0, 1, 10, 1_000, 65_535, ROOMY]))
    def set_window(self, value: int) -> None:
        self.change(h2.settings.SettingCodes.INITIAL_WINDOW_SIZE, value)

    @rule(value=st.sampled_from([16_384, 16_385, 100_000]))
    def set_frame_size(self, value: int) -> None:
        self.change(h2.settings.SettingCodes.MAX_FRAME_SIZE, value)

    @rule(choice=st.integers(-1, 99), increment=st.sampled_from([1, 9, 1_000, 100_000]))
    def open_window(self, choice: int, increment: int) -> None:
        """Of the connection, or of a stream."""
        number = self.pick(choice, lambda sent: sent.lives) if choice >= 0 else None
        if choice < 0 or number is not None:
            self.h2.increment_flow_control_window(increment, number)
            self.flush()

    @rule(choice=st.integers(0, 99))
    def acknowledge(self, choice: int) -> None:
        number = self.pick(choice, lambda sent: sent.unacknowledged > 0)
        if number is not None:
            sent = self.streams[number]
            self.h2.acknowledge_received_data(sent.unacknowledged, number)
            sent.unacknowledged = 0
            self.flush()

    @rule(stream=st.integers(0, 20), weight=st.integers(1, 256))
    def prioritize(self, stream: int, weight: int) -> None:
        self.h2.prioritize(2 * stream + 1, weight=weight)
        self.flush()

    @rule(size=st.sampled_from([0, 1, 3, 10, 50]))
    def cut_bytes(self, size: int) -> None:
        """From now on the bytes arrive in pieces of this size; 0: as they are."""
        self.cut = size

    @rule(count=st.integers(1, 8))
    def turns(self, count: int) -> None:
        for _ in range(count):
            self.turn()

    # ----------------------------------------------------------------------- invariants

    @invariant()
    def answers_are_a_beginning_of_what_is_right(self) -> None:
        for number, sent in self.streams.items():
            right, _ = sent.expected()
            assert right.startswith(sent.received) or sent.given_up, number
            assert len(sent.statuses) <= 1

    @invariant()
    def no_task_failed(self) -> None:
        assert not self.bench.faults

    def teardown(self) -> None:
        """Everything is sent and read to its end; then nothing of the peer is left."""
        try:
            self._finish()
        finally:
            self.socket.close()
            for _ in range(3 * QUIET_TURNS):
                self.bench.turn()
        assert self.bench.puppet.running == 0
        assert not self.bench.server._connections
        assert len(asyncio.all_tasks(self.bench.loop)) == 0
        assert not self.bench.faults, self.bench.faults

    def _finish(self) -> None:
        self.cut = 0
        self.change(h2.settings.SettingCodes.INITIAL_WINDOW_SIZE, ROOMY)
        # The server takes an empty DATA frame, or a settings change, as often as this test does.
        self.settle()
        for _ in range(20):
            self._read_on()
            for number, sent in self.streams.items():
                if sent.sends:
                    self.drain(number)
            self.settle()
        for number, sent in self.streams.items():
            if sent.sends:
                assert not sent.waiting
                self.h2.end_stream(number)
                sent.done = True
        self.flush()
        for _ in range(20):
            self._read_on()
            self.settle()
        assert self.pings == 0
        for number, sent in self.streams.items():
            if not sent.given_up:
                right, status = sent.expected()
                assert bytes(sent.received) == right, number
                assert sent.statuses == [status], number
                assert sent.ended

    def _read_on(self) -> None:
        for number, sent in self.streams.items():
            if sent.unacknowledged:
                self.h2.acknowledge_received_data(sent.unacknowledged, number)
                sent.unacknowledged = 0
        room = self.h2.inbound_flow_control_window
        if room < ROOMY:
            self.h2.increment_flow_control_window(ROOMY - room)
        self.flush()


class _OnAsyncio(WireMachine):
    bench: Bench


class _OnUvloop(WireMachine):
    bench: Bench


PROFILE = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def _run(machine: type[WireMachine], loop: asyncio.AbstractEventLoop) -> None:
    machine.bench = Bench(loop)
    try:
        run_state_machine_as_test(machine, settings=PROFILE)
    finally:
        machine.bench.close()


def test_any_conversation_ends_as_it_must() -> None:
    """On the loop that workers use."""
    _run(_OnUvloop, uvloop.new_event_loop())


def test_any_conversation_ends_as_it_must_on_the_loop_of_the_standard_library() -> None:
    _run(_OnAsyncio, asyncio.SelectorEventLoop())
