"""``keys``: API keys of a running or a future gateway, in its key store."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from gateway_extproc.cli.adminlog import tell_admin_log
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.files import config_file, read_file
from gateway_extproc.cli.keyargs import NEVER
from gateway_extproc.cli.remote import asks_gateway, gateway
from gateway_extproc.config.compile import key_record
from gateway_extproc.config.keyterms import read_terms
from gateway_extproc.config.mistakes import ConfigError
from gateway_extproc.config.model import Config
from gateway_extproc.core.access import AdminPermission
from gateway_extproc.core.apikey import key_hmac, make_key, parse_key
from gateway_extproc.core.keys import (
    KeyExists,
    KeyRecord,
    KeyRevoked,
    KeyUnknown,
    shown,
)
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.secret import Secret
from gateway_extproc.identities import file_tenants, open_key_store, open_keyring
from gateway_extproc.identity.keyring import Issued, Keyring
from gateway_extproc.stores.secrets import SecretUnavailable, read_secret

PERMISSIONS: Final[dict[str, AdminPermission]] = {
    "issue": "manage_keys",
    "rotate": "manage_keys",
    "resume": "manage_keys",
    "import": "manage_keys",
    "revoke": "revoke_keys",
    "suspend": "revoke_keys",
}
"""What the same would need at the admin server."""


def issue_key(
    pepper: Secret,
    environment: str,
    *,
    tenant: str,
    user: str,
    application: str,
    roles: Sequence[str],
) -> tuple[str, dict[str, Any]]:
    """A fresh key, and its entry for the ``keys`` section of a configuration."""
    key_id = os.urandom(6).hex()
    key = make_key(environment, key_id, os.urandom(32))
    entry = {
        "id": key_id,
        "hmac": key_hmac(pepper.reveal().encode(), key).hex(),
        "tenant": tenant,
        "user": user,
        "application": application,
        "roles": list(roles),
    }
    return key, entry


# ------------------------------------------------------------------------- commands


def issue_command(options: argparse.Namespace) -> int:
    if asks_gateway(options) and not options.static:
        return _show_issued(_asked(options, "IssueKey", terms=_entry(options)), options)
    config, _ = read_file(config_file(options.config))
    terms = _terms(options, config)
    if options.static:
        return _issue_static(options, config, terms)
    with _keyring(config) as keyring:
        try:
            issued = keyring.issue(terms, options.env)
        except ValueError as error:
            raise CommandFailure(f"--env {options.env}: {error}") from None
    _record(config, "issue", issued.record)
    return _show_issued(_issued(issued), options)


def list_command(options: argparse.Namespace) -> int:
    if asks_gateway(options):
        reply = _asked(options, "ListKeys", tenant=options.tenant, state=options.state)
        return _show_list(reply.get("keys", []), as_json=options.json)
    config, _ = read_file(config_file(options.config))
    with _keyring(config) as keyring:
        records = [
            shown(record)
            for record in keyring.all()
            if options.tenant in (None, record.tenant) and options.state in (None, record.state)
        ]
    return _show_list(records, as_json=options.json)


def show_command(options: argparse.Namespace) -> int:
    if asks_gateway(options):
        return _show_key(_asked(options, "GetKey", id=options.id), as_json=options.json)
    return _on_one(options, lambda keyring: keyring.get(options.id))


def rotate_command(options: argparse.Namespace) -> int:
    if asks_gateway(options):
        # Also an overlap of nothing is said.
        asked = {"overlap_s": options.overlap, "environment": options.env}
        return _show_issued(_asked(options, "RotateKey", id=options.id, **asked), options)
    config, _ = read_file(config_file(options.config))
    with _keyring(config) as keyring:
        issued = keyring.rotate(options.id, options.overlap, options.env)
    _record(config, "rotate", issued.record)
    return _show_issued(_issued(issued), options)


def revoke_command(options: argparse.Namespace) -> int:
    if asks_gateway(options):
        asked = _asked(options, "RevokeKey", id=options.id, reason=options.reason)
        return _show_key(asked, as_json=options.json)
    return _on_one(options, lambda keyring: keyring.revoke(options.id, options.reason), "revoke")


def suspend_command(options: argparse.Namespace) -> int:
    if asks_gateway(options):
        for_s = None if options.seconds == NEVER else options.seconds
        asked = _asked(options, "SuspendKey", id=options.id, for_s=for_s, reason=options.reason)
        return _show_key(asked, as_json=options.json)
    return _on_one(
        options,
        lambda keyring: keyring.suspend(options.id, options.seconds, options.reason),
        "suspend",
    )


def resume_command(options: argparse.Namespace) -> int:
    if asks_gateway(options):
        return _show_key(_asked(options, "ResumeKey", id=options.id), as_json=options.json)
    return _on_one(options, lambda keyring: keyring.resume(options.id), "resume")


def import_command(options: argparse.Namespace) -> int:
    config, _ = read_file(config_file(options.config))
    entries = _read_entries(options.file)
    pepper = _pepper(config)
    records, mistakes = [], []
    for i, entry in enumerate(entries):
        try:
            records.append(
                key_record(read_terms(_with_hmac(entry, pepper), config, _file_tenants(config)))
            )
        except (ConfigError, ValueError) as error:
            mistakes += [f"[{i}]: {line}" for line in str(error).splitlines()]
    if mistakes:
        for mistake in mistakes:
            print(f"{options.file}: {mistake}", file=sys.stderr)
        raise CommandFailure(f"{options.file}: nothing was imported", 2)
    with _keyring(config) as keyring:
        keyring.import_records(records)
    for record in records:
        _record(config, "import", record)
    ids = [record.id for record in records]
    print(json.dumps({"imported": ids}) if options.json else f"{len(ids)} keys imported")
    return 0


# --------------------------------------------------------------------------- helpers


@contextlib.contextmanager
def _keyring(config: Config) -> Iterator[Keyring]:
    """The keyring of a configuration; what goes wrong with it becomes one line."""
    try:
        store = open_key_store(config)
        with contextlib.closing(store):
            yield open_keyring(config, store)
    except SecretUnavailable as error:
        raise CommandFailure(f"the pepper or a password cannot be read: {error}") from None
    except (StoreUnavailable, KeyExists, KeyRevoked, KeyUnknown) as error:
        raise CommandFailure(error.args[0]) from None


def _pepper(config: Config) -> Secret:
    try:
        return read_secret(Path(config.identity.pepper_file))
    except SecretUnavailable as error:
        raise CommandFailure(f"the pepper cannot be read: {error}") from None


def _on_one(
    options: argparse.Namespace, act: Callable[[Keyring], KeyRecord], verb: str = ""
) -> int:
    """Does something with one key and shows it; ``verb`` names what changes it."""
    config, _ = read_file(config_file(options.config))
    with _keyring(config) as keyring:
        record = act(keyring)
    if verb:
        _record(config, verb, record)
    return _show_key(shown(record), as_json=options.json)


def _asked(options: argparse.Namespace, call: str, **arguments: Any) -> dict[str, Any]:
    """What the running gateway answers; None says nothing."""
    with gateway(options) as client:
        return client.call(call, {k: v for k, v in arguments.items() if v is not None})


def _record(config: Config, verb: str, key: KeyRecord) -> None:
    tell_admin_log(config, f"keys {verb} {key.id}", PERMISSIONS[verb])


def _issued(issued: Issued) -> dict[str, Any]:
    record = issued.record
    return {"id": record.id, "key": issued.key.reveal(), "record": shown(record)}


def _show_issued(issued: Mapping[str, Any], options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps(issued))
    else:
        print(f"# The key, shown only now:\n{issued['key']}")
        print(yaml.safe_dump(issued["record"], sort_keys=False), end="")
    return 0


def _show_key(record: Mapping[str, Any], *, as_json: bool) -> int:
    print(json.dumps(record) if as_json else yaml.safe_dump(record, sort_keys=False).rstrip())
    return 0


def _show_list(records: Sequence[Mapping[str, Any]], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"keys": records}))
        return 0
    print(f"{'id':14}{'tenant':20}{'user':20}{'roles':26}{'state':12}expires")
    for record in records:
        print(
            f"{record['id']:14}{record.get('tenant', ''):20}{record.get('user', ''):20}"
            f"{','.join(record.get('roles', ())):26}{record['state']:12}"
            f"{record.get('expires_at', 'never')}"
        )
    return 0


def _issue_static(options: argparse.Namespace, config: Config, terms: KeyRecord) -> int:
    try:
        key, entry = issue_key(
            _pepper(config), options.env, tenant=terms.tenant, user=terms.user,
            application=terms.application, roles=terms.roles,
        )  # fmt: skip
    except ValueError as error:
        raise CommandFailure(f"--env {options.env}: {error}") from None
    for name in ("endpoints", "models", "networks"):
        if values := getattr(terms, name):
            entry[name] = list(values)
    if terms.labels:
        entry["labels"] = dict(terms.labels)
    if options.expires:
        entry["expires"] = options.expires
    if options.ttl:
        raise CommandFailure("--ttl needs the key store; use --expires with --static")
    if options.json:
        print(json.dumps({"id": entry["id"], "key": key, "entry": entry}))
        return 0
    print(f"# The key, shown only now:\n# {key}\n# Its entry for the section 'keys':")
    print(yaml.safe_dump([entry], sort_keys=False), end="")
    return 0


def _entry(options: argparse.Namespace) -> dict[str, Any]:
    """What the options say of a key, as the admin API takes it."""
    entry = {**_written(options), "environment": options.env, "ttl_s": options.ttl}
    return {name: value for name, value in entry.items() if value}


def _written(options: argparse.Namespace) -> dict[str, Any]:
    """What the options say of a key, as an entry of the configuration."""
    return {
        "tenant": options.tenant,
        "user": options.user,
        "application": options.application,
        "roles": options.roles or ["developer"],
        "endpoints": options.endpoints or [],
        "models": options.models or [],
        "networks": options.networks or [],
        "labels": dict(label.partition("=")[::2] for label in options.labels or ()),
        "expires": options.expires,
    }


def _terms(options: argparse.Namespace, config: Config) -> KeyRecord:
    """The terms of a key, checked like an entry of the configuration."""
    try:
        record = key_record(read_terms(_written(options), config, _file_tenants(config)))
    except ConfigError as error:
        for mistake in error.mistakes:
            print(f"--{mistake}", file=sys.stderr)
        raise CommandFailure("no key was made", 2) from None
    if options.ttl is None:
        return record
    return replace(record, expires_at_s=time.time() + options.ttl)


def _file_tenants(config: Config) -> frozenset[str]:
    try:
        return file_tenants(config)
    except StoreUnavailable:
        return frozenset()


def _read_entries(file: Path) -> list[Any]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        entries = orjson.loads(text) if text.lstrip()[:1] in ("[", "{") else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, orjson.JSONDecodeError) as error:
        raise CommandFailure(f"{file}: {error}", 2) from None
    if isinstance(entries, dict) and isinstance(entries.get("keys"), list):
        entries = entries["keys"]
    if not isinstance(entries, list) or not entries:
        raise CommandFailure(f"{file}: expected a list of keys", 2)
    return entries


def _with_hmac(entry: Any, pepper: Secret) -> Any:
    """An entry that holds a key itself, as one that holds its id and HMAC."""
    if not isinstance(entry, dict) or "key" not in entry:
        return entry
    parsed = parse_key(str(entry["key"]))
    if parsed is None:
        raise ValueError("key: not of the form gw_<env>_<id>_<secret>_<checksum>")
    rest = {name: value for name, value in entry.items() if name != "key"}
    return {**rest, "id": parsed.id, "hmac": key_hmac(pepper.reveal().encode(), parsed.text).hex()}
