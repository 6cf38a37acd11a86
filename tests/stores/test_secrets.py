"""Secrets in files: changed ones are read, a bad moment breaks nothing."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from gateway_extproc.providers.bedrock.sigv4 import read_key
from gateway_extproc.stores.secrets import SecretFiles, SecretUnavailable, read_secret
from support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def files(tmp_path: Path, clock: FakeClock) -> SecretFiles:
    (tmp_path / "east").write_text("first-secret\n")
    return SecretFiles({"east": tmp_path / "east", "west": tmp_path / "west"}, clock)


def value(files: SecretFiles) -> str:
    return files.get("east").reveal()


def test_space_around_a_secret_is_none_of_it(files: SecretFiles) -> None:
    assert value(files) == "first-secret"


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"\xff\xfe", b"a\x00b", b"a\tb"])
def test_what_is_not_one_line_of_text_is_no_secret(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(SecretUnavailable):
        read_secret(tmp_path / "s")


def test_a_change_is_picked_up_after_the_interval_and_not_before(
    files: SecretFiles, tmp_path: Path, clock: FakeClock
) -> None:
    assert value(files) == "first-secret"
    (tmp_path / "east").write_text("second-secret-of-another-length")
    clock.advance(0.999)
    assert value(files) == "first-secret"
    clock.advance(0.001)
    assert value(files) == "second-secret-of-another-length"


def test_a_change_of_the_same_length_is_a_change(
    files: SecretFiles, tmp_path: Path, clock: FakeClock
) -> None:
    value(files)
    (tmp_path / "east").write_text("other-secret\n")
    os.utime(tmp_path / "east", ns=(1, 1))
    clock.advance(1)
    assert value(files) == "other-secret"


@pytest.mark.parametrize("garbage", [None, b"", b"\xff", b"two\nlines"])
def test_the_last_good_secret_stays_while_its_file_is_no_good(
    files: SecretFiles, tmp_path: Path, clock: FakeClock, garbage: bytes | None
) -> None:
    value(files)
    (tmp_path / "east").unlink()
    if garbage is not None:
        (tmp_path / "east").write_bytes(garbage)
    clock.advance(1)
    assert value(files) == "first-secret"
    (tmp_path / "east").unlink(missing_ok=True)
    (tmp_path / "east").write_text("recovered")
    clock.advance(1)
    assert value(files) == "recovered"


def test_the_symlinks_of_a_kubernetes_mount_are_followed(tmp_path: Path, clock: FakeClock) -> None:
    """``secret -> ..data/secret``, ``..data -> ..2026_1``; an update swaps ``..data``."""
    for number, content in ((1, "old-value"), (2, "new-value")):
        (tmp_path / f"..2026_{number}").mkdir()
        (tmp_path / f"..2026_{number}" / "east").write_text(content)
        os.utime(tmp_path / f"..2026_{number}" / "east", ns=(1, 1))
    (tmp_path / "..data").symlink_to("..2026_1")
    (tmp_path / "east").symlink_to("..data/east")
    files = SecretFiles({"east": tmp_path / "east"}, clock)
    assert value(files) == "old-value"
    (tmp_path / "..data_tmp").symlink_to("..2026_2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    clock.advance(1)
    assert value(files) == "new-value"


def test_a_secret_that_never_was_is_a_lookup_error(
    files: SecretFiles, tmp_path: Path, clock: FakeClock
) -> None:
    with pytest.raises(LookupError):
        files.get("west")
    with pytest.raises(LookupError):
        files.get("unknown")
    (tmp_path / "west").write_text("late")
    clock.advance(1)
    assert files.get("west").reveal() == "late"


def test_no_content_of_a_file_is_logged(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "s").write_text("planted-4711\nplanted-4712")
    files = SecretFiles({"s": tmp_path / "s"}, clock)
    with caplog.at_level(logging.DEBUG), pytest.raises(LookupError) as caught:
        files.get("s")
    assert "planted" not in caplog.text + str(caught.value)
    assert str(tmp_path / "s") in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        '{\n  "aws_access_key_id": "AKIDEXAMPLE",\n  "aws_secret_access_key": "a/b+c"\n}\n',
        "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = a/b+c\n",
    ],
)
def test_a_credential_of_several_fields_may_take_several_lines(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / "aws").write_text(content)
    key = read_key(read_secret(tmp_path / "aws").reveal())
    assert key == ("AKIDEXAMPLE", "a/b+c", "")
