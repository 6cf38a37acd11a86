"""``sign`` makes requests that the gateway takes; so does openssl, by the documentation."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import orjson
import pytest

from gateway_extproc.cli.main import main
from gateway_extproc.config.proofs import Signer
from gateway_extproc.core.identity import Proven
from gateway_extproc.core.secret import Secret
from gateway_extproc.identity.httpsig import MessageSignatureAuthenticator
from gateway_extproc.identity.signed import HmacAuthenticator
from support.parts import chat_exchange
from support.signatures import BATCH, ROBOT, SECRET

ROOT = Path(__file__).parents[2]
PATH = "/v1/chat/completions"
BODY = b'{"model":"small"}\n'


class Secrets:
    def get(self, provider: str) -> Secret:
        return Secret(SECRET)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert main(["sign", *arguments]) == 0
    return dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())


def proves(headers: dict[str, str], **section: str) -> object:
    """Whom the gateway sees, by its own clock."""
    batch = Signer.model_validate_json(orjson.dumps(BATCH))
    robot = Signer.model_validate_json(orjson.dumps({**ROBOT, **section}))
    exchange = chat_exchange(PATH, headers=headers)
    by_hmac = HmacAuthenticator([batch], Secrets(), 60.0, time.time).authenticate(exchange)
    by_key = MessageSignatureAuthenticator([robot], 60.0, time.time).authenticate(exchange)
    return by_hmac or by_key


def test_a_shared_secret_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "body").write_bytes(BODY)
    headers = printed(
        capsys, "--key", "batch", "--secret-file", str(tmp_path / "secret"),
        "--path", PATH, "--body", str(tmp_path / "body"),
    )  # fmt: skip
    proven = proves(headers)
    assert isinstance(proven, Proven), proven
    assert proven.user == "batch-user"


def test_a_private_key_of_openssl_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the two commands of docs/signed-requests.md."""
    page = (ROOT / "docs" / "signed-requests.md").read_text()
    make = "openssl genpkey -algorithm ed25519 -out robot.pem"
    show = "openssl pkey -in robot.pem -pubout -outform DER | tail -c 32 | base64"
    assert make in page
    assert show in page
    subprocess.run(make, shell=True, cwd=tmp_path, check=True)
    shown = subprocess.run(show, shell=True, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "body").write_bytes(BODY)
    headers = printed(
        capsys, "--key", "robot", "--private-key", str(tmp_path / "robot.pem"),
        "--path", PATH, "--body", str(tmp_path / "body"),
    )  # fmt: skip
    proven = proves(headers, public_key=shown.stdout.decode().strip())
    assert isinstance(proven, Proven), proven
    assert proven.user == "robot-user"


def test_the_shell_recipe_of_the_documentation_signs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "signed-requests.md").read_text()
    recipe = page.split("```sh\n")[1].split("```")[0].partition("curl ")[0]
    (tmp_path / "batch.secret").write_text(SECRET)
    (tmp_path / "body.json").write_bytes(BODY)
    script = recipe + 'printf %s "$authorization"'
    result = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    proven = proves({"authorization": result.stdout})
    assert isinstance(proven, Proven), result.stdout
    assert proven.user == "batch-user"


@pytest.mark.parametrize(
    ("content", "kind"), [("", "--secret-file"), ("nonsense", "--private-key")]
)
def test_a_file_that_holds_no_key_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, kind: str
) -> None:
    (tmp_path / "key").write_text(content)
    assert main(["sign", "--key", "batch", kind, str(tmp_path / "key"), "--path", PATH]) == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "key") in error
    assert len(error.splitlines()) == 1


def test_an_id_that_no_signer_has_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    code = main(["sign", "--key", "A B", "--secret-file", str(tmp_path / "secret"), "--path", PATH])
    assert code == 1
    assert "A B" in capsys.readouterr().err
