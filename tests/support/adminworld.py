"""A running admin API over gRPC: real files, keys and gate, two tenants with their auditors."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from gateway_extproc.config.compile import key_record
from gateway_extproc.config.keyterms import read_terms
from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.secret import Secret
from gateway_extproc.evidence.feed import FileFeed
from gateway_extproc.explaining import explain_asked
from gateway_extproc.identity.keyring import Keyring
from gateway_extproc.standings import Targets
from gateway_extproc.stores.keyfile import KeyFile
from gateway_extproc.supervisor.aside import run_aside
from gateway_extproc.supervisor.calls import BadConfiguration, Call
from gateway_extproc.supervisor.explain_api import Asked, ExplainApi
from gateway_extproc.supervisor.keys_api import KeysApi
from gateway_extproc.supervisor.providers_api import ProvidersApi
from gateway_extproc.supervisor.records_api import RecordsApi
from gateway_extproc.supervisor.rpc import rpc_server
from support import config as configs
from support.adminapi import TENANT_AUDITOR, RpcClient, two_tenant_gate
from support.config import PEPPER, make_config
from support.gate import key_of, snapshot_of_roles


class AdminWorld:
    """Serves at ``folder/admin.sock``; ``log`` takes the lines of the admin log."""

    def __init__(self, folder: Path) -> None:
        self.log: list[dict[str, Any]] = []
        self.folder, self.socket = folder, folder / "admin.sock"
        self.records = RecordsApi(FileFeed(folder))
        snapshot = snapshot_of_roles(roles=[TENANT_AUDITOR])
        config = make_config(roles=[TENANT_AUDITOR], keys=[])

        def terms(entry: dict[str, Any]) -> KeyRecord:
            return key_record(read_terms(entry, config, frozenset()))

        document = configs.document()
        document["server"]["socket_dir"] = str(folder)
        document["identity"]["pepper_file"] = str(folder / "pepper")
        document["evidence"] = {"dir": str(folder)}
        (folder / "pepper").write_text(PEPPER)
        self.config_text = yaml.safe_dump(document)
        (folder / "gateway.yaml").write_text(self.config_text)
        self.store = KeyFile(folder)
        keys = KeysApi(time.time)
        keys.use(
            Keyring(self.store, {}, Secret(PEPPER), time.time, os.urandom), terms, snapshot.roles
        )
        own = [
            Call("GetStatus", "view_status", "GET", "/v1/status", self.status),
            Call("Reload", "reload", "POST", "/v1/reload", self.reload, 202),
        ]
        explain = ExplainApi(self.explain)
        targets = Targets(make_config(server={"socket_dir": str(folder / "run")}))
        providers = ProvidersApi(lambda: targets)
        self.calls = [
            *own, *keys.calls(), *self.records.calls(), *explain.calls(), *providers.calls(),
        ]  # fmt: skip
        self.server = rpc_server(
            self.socket, two_tenant_gate(self.log), self.calls, self.records.streams()
        )

    async def status(self, *_: Any) -> dict[str, Any]:
        return {"ready": True, "workers": [{"worker": 0}]}

    async def explain(self, asked: Asked) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as place:
            return await run_aside(
                explain_asked, (self.config_text, asked, place), timeout_s=60, max_bytes=1 << 30
            )

    async def reload(self, *_: Any) -> dict[str, Any]:
        raise BadConfiguration("models: got nothing")

    def client(self, key: str | None = key_of("auditor")) -> RpcClient:
        return RpcClient(self.socket, key)
