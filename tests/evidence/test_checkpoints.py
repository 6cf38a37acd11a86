"""Checkpoints: due, signed, and on their way elsewhere."""

from __future__ import annotations

import logging
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from evidence.logs import Key, Log, bodies
from gateway_extproc.evidence import checkpoints
from gateway_extproc.evidence.chain import Checkpoint, find_checkpoint
from gateway_extproc.evidence.checkpoints import (
    Shipper,
    Signer,
    is_signed,
    load_public_keys,
    to_file,
)
from gateway_extproc.evidence.policy import WHOLE
from gateway_extproc.evidence.segments import SegmentRules, Segments
from gateway_extproc.recording import open_recorder
from gateway_extproc.stores.secrets import SecretUnavailable
from support.config import make_config


def test_one_is_due_after_so_many_records_and_at_the_end(tmp_path: Path) -> None:
    log = Log(tmp_path, Key(), checkpoint_records=10)
    storage = log.boot()
    for number in range(25):
        storage.append(bodies([number]))
    assert [checkpoint.seq for checkpoint in log.shipped] == [11, 22]  # a header, a checkpoint
    storage.close()
    assert [checkpoint.seq for checkpoint in log.shipped] == [11, 22, 28]


def test_one_is_due_after_so_many_seconds_with_a_record(tmp_path: Path) -> None:
    now, shipped = [0.0], list[Checkpoint]()
    rules = SegmentRules(signer=Signer(Key().pem), ship=shipped.append, checkpoint_s=60.0)
    storage = Segments(tmp_path, "costs", 3, rules, clock_s=lambda: now[0])
    now[0] = 100.0
    storage.append([])
    assert (shipped, storage.due_s()) == ([], None)
    storage.append(bodies([1]))  # late already
    assert len(shipped) == 1
    storage.append(bodies([2]))
    assert storage.due_s() == 60.0
    now[0] = 160.0
    storage.append([])
    assert [(one.log, one.worker, one.seq) for one in shipped] == [("costs", 3, 2), ("costs", 3, 4)]
    storage.close()


def test_a_signature_is_checked_by_another_tool(tmp_path: Path) -> None:
    """OpenSSL, over the text that docs/decision-log.md gives."""
    key = Key()
    log = Log(tmp_path / "log", key)
    log.folder.mkdir()
    storage = log.boot()
    storage.append(bodies([1]))
    storage.close()
    (one,) = log.shipped
    text = (
        f"gateway-extproc checkpoint 1\ndecisions\n0\n{one.boot_id}\n1\n{one.seq}\n"
        f"{one.head.hex()}\n{one.time}\n{one.key_id}\n"
    )
    (tmp_path / "text").write_text(text)
    (tmp_path / "signature").write_bytes(one.signature)
    public = key.private.public_key()
    (tmp_path / "key.pem").write_bytes(
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    result = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "text",
         "-sigfile", "signature"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Verified Successfully" in result.stdout, result.stderr
    assert is_signed(one, load_public_keys([(tmp_path / "key.pem").read_bytes()]))
    assert not is_signed(one._replace(seq=one.seq + 1), key.public)
    assert not is_signed(one, Key().public)


def test_a_receiver_that_hangs_or_fails_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, gate = Log(tmp_path / "log", Key(), checkpoint_records=1), threading.Event()
    log.folder.mkdir()

    def broken(line: bytes) -> None:
        gate.wait(10)
        raise OSError("gone")

    shipper = Shipper([("somewhere", broken), ("a file", to_file(tmp_path / "there" / "them"))])
    rules = SegmentRules(signer=Signer(Key().pem), ship=shipper.ship, checkpoint_records=1)
    storage = Segments(tmp_path, "decisions", 0, rules)
    began = time.monotonic()
    for number in range(50):
        storage.append(bodies([number]))
    assert time.monotonic() - began < 5
    gate.set()
    storage.close()
    shipper.close()
    file = tmp_path / "there" / "them"
    found = [find_checkpoint(line) for line in file.read_bytes().splitlines()]
    assert [one.seq for one in found if one] == list(range(2, 102, 2))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len([r for r in caplog.records if "do not reach" in r.message]) == 1


def test_what_a_receiver_does_not_get_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "WAITING", 2)
    gate, lost, got = threading.Event(), list[int](), list[bytes]()

    def slow(line: bytes) -> None:
        gate.wait(10)
        got.append(line)

    def broken(line: bytes) -> None:
        raise OSError("gone")

    one = Checkpoint("decisions", 0, "b", 1, 1, b"h", "t")
    shipper = Shipper([("slow", slow)])
    shipper.count_losses(lost.append)
    for _ in range(10):
        shipper.ship(one)
    gate.set()
    shipper.close()
    assert len(got) + sum(lost) == 10
    assert sum(lost) >= 7  # one in its hands, two that wait
    lost.clear()
    shipper = Shipper([("broken", broken)])
    shipper.count_losses(lost.append)
    shipper.ship(one)
    shipper.close()
    assert lost == [1]


def test_a_key_of_another_kind_is_no_key() -> None:
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="not an Ed25519 key"):
        Signer(pem)
    with pytest.raises(ValueError, match="not an unencrypted private key"):
        Signer(b"nonsense")


@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_a_worker_does_not_start_without_the_key_that_it_shall_sign_with(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    evidence = {"dir": str(tmp_path / "evidence"), "checkpoints": {"key_file": str(file)}}
    with pytest.raises(SecretUnavailable, match=str(file)):
        open_recorder(make_config(evidence=evidence), "r", tmp_path / "metrics", 0, b"k", WHOLE)


def test_without_a_key_a_worker_says_that_it_does_not_sign(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = make_config(evidence={"dir": str(tmp_path / "evidence")})
    open_recorder(config, "r", tmp_path / "metrics", 0, b"k", WHOLE).close()
    assert "not signed" in caplog.text
