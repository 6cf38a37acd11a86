"""The composition root's part for identities: what workers and the supervisor share.

A worker identifies clients, the supervisor those who call its admin server; both with
the same authenticators over the same tables.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gateway_extproc.config.compile import Snapshot, compile_config, tenant_table
from gateway_extproc.config.load import load_tenants
from gateway_extproc.config.model import Config, Redis
from gateway_extproc.core.identity import Tenant
from gateway_extproc.core.keys import KeyRevoked, KeyUnknown
from gateway_extproc.core.ports import (
    Authenticator,
    Credentials,
    KeyStore,
    KeyTable,
    StoreUnavailable,
)
from gateway_extproc.core.secret import Secret
from gateway_extproc.identity.abuse import AbuseWatch
from gateway_extproc.identity.apikeys import ApiKeys
from gateway_extproc.identity.certificates import CertificateAuthenticator
from gateway_extproc.identity.directory import Directory
from gateway_extproc.identity.httpsig import MessageSignatureAuthenticator
from gateway_extproc.identity.keyring import Keyring
from gateway_extproc.identity.signed import HmacAuthenticator
from gateway_extproc.identity.tokens import TokenAuthenticator
from gateway_extproc.identity.trust import Trusts
from gateway_extproc.stages.identify import Identify
from gateway_extproc.stores.following import Followed, catch_up
from gateway_extproc.stores.jwks import KeySetFetcher
from gateway_extproc.stores.keyfile import FollowedKeys, KeyFile
from gateway_extproc.stores.keyredis import RedisAddress, RedisKeys, ReplicatedKeys
from gateway_extproc.stores.keysets import KeySetFiles
from gateway_extproc.stores.nonceredis import RedisNonces
from gateway_extproc.stores.nonces import SharedNonces
from gateway_extproc.stores.secrets import SecretFiles, SecretUnavailable, read_secret
from gateway_extproc.stores.tenants import FollowedTenants, TenantPublisher

log = logging.getLogger(__name__)

# ---------------------------------------------------------------------------- places


def state_dir(config: Config) -> Path:
    """Where keys and tenants of this host are kept."""
    return Path(config.identity.state_dir or f"{config.server.socket_dir}/state")


def nonces_table(config: Config) -> Path:
    """Where the workers of a host remember signed requests together."""
    return Path(config.server.socket_dir) / "nonces.table"


def key_sets_dir(config: Config) -> Path:
    """Where the supervisor leaves the issuers' keys for the workers."""
    return Path(config.server.socket_dir) / "jwks"


# --------------------------------------------------------------------- who identifies


@dataclass(frozen=True, slots=True)
class Identities:
    """What identifying needs: made once a process."""

    keys: KeyTable
    pepper: Secret
    directory: Directory
    trusts: Trusts
    signer_secrets: Credentials
    nonces: SharedNonces | RedisNonces
    followed: Sequence[Followed] = ()
    """Tables that must be kept fresh."""

    def close(self) -> None:
        """Lets go of all files."""
        for table in self.followed:
            table.close()
        self.nonces.close()


def open_identities(config: Config, snapshot: Snapshot) -> Identities:
    """The tables of this process, fresh; raises ``SecretUnavailable`` and ``StoreUnavailable``."""
    keys = FollowedKeys(state_dir(config), snapshot.keys)
    tenants = FollowedTenants(state_dir(config), snapshot.tenants)
    catch_up((keys, tenants))
    signers = config.identity.signed.signers
    return Identities(
        keys=keys,
        pepper=read_secret(Path(config.identity.pepper_file)),
        directory=Directory(snapshot.roles, tenants),
        trusts=KeySetFiles(config.identity.issuers, key_sets_dir(config), time.monotonic),
        signer_secrets=SecretFiles(
            {s.id: Path(s.secret_file) for s in signers if s.secret_file is not None},
            time.monotonic_ns,
        ),
        nonces=open_nonces(config),
        followed=(keys, tenants),
    )


def open_nonces(config: Config) -> SharedNonces | RedisNonces:
    """Who remembers signed requests; raises ``SecretUnavailable``."""
    local = SharedNonces(nonces_table(config), time.time)
    if config.identity.signed.shared_by == "host" or config.redis is None:
        return local
    return RedisNonces(local, redis_address(config.redis), config.redis.prefix, time.time)


def abuse_watch(config: Config, workers: int, errors: Callable[[str], None]) -> AbuseWatch:
    """Counts in this process; suspensions are written by a thread of their own."""
    writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="suspend")

    def write(key_id: str, seconds: float, reason: str) -> None:
        try:
            with contextlib.closing(open_key_store(config)) as store:
                open_keyring(config, store).suspend(key_id, seconds, reason)
        except (StoreUnavailable, SecretUnavailable, KeyUnknown, KeyRevoked) as error:
            errors(f"key {key_id} is not suspended ({reason}): {error}")

    def suspend(key_id: str, seconds: float, reason: str) -> None:
        writer.submit(write, key_id, seconds, reason)

    return AbuseWatch(config.identity.abuse, workers, time.time, suspend)


def identify_stage(config: Config, parts: Identities, workers: int) -> Identify:
    """The stage that makes permits, in one process of so many."""
    return Identify(
        authenticators(config, parts),
        parts.directory,
        parts.nonces,
        peers(config),
        abuse=abuse_watch(config, workers, log.error),
        application_header=config.identity.application_header,
        class_header=config.identity.data_class_header,
    )


def authenticators(config: Config, parts: Identities) -> list[Authenticator]:
    """Who verifies credentials, in the order in which they are asked; all of them are."""
    identity = config.identity
    signed, found = identity.signed, list[Authenticator]()
    if identity.issuers:
        found.append(TokenAuthenticator(identity.issuers, parts.trusts, time.time))
    if signed.signers:
        found += [
            HmacAuthenticator(signed.signers, parts.signer_secrets, signed.window_s, time.time),
            MessageSignatureAuthenticator(signed.signers, signed.window_s, time.time),
        ]
    return [ApiKeys(parts.keys, parts.pepper, time.time), *found]


def peers(config: Config) -> list[Authenticator]:
    """Who knows a caller by its connection; asked where a request brings no credential."""
    certificates = config.identity.certificates
    return [CertificateAuthenticator(certificates)] if certificates.workloads else []


# ----------------------------------------------------------------- who keeps the tables


def open_key_store(config: Config) -> KeyFile | ReplicatedKeys:
    """Where keys are written; raises ``StoreUnavailable`` and ``SecretUnavailable``."""
    local = KeyFile(state_dir(config))
    if config.redis is None:
        return local
    return ReplicatedKeys(local, RedisKeys(redis_address(config.redis), config.redis.prefix))


def redis_address(section: Redis) -> RedisAddress:
    """How Redis is spoken to; raises ``SecretUnavailable``."""
    password = read_secret(Path(section.password_file)) if section.password_file else Secret("")
    return RedisAddress(
        host=section.address.address,
        port=section.address.port,
        timeout_s=section.timeout_ms / 1000,
        username=section.username,
        password=password,
        ca_file=section.ca_file if section.tls else None,
    )


def open_keyring(config: Config, store: KeyStore) -> Keyring:
    """Keys of the store and of the configuration; raises ``SecretUnavailable``."""
    pepper = read_secret(Path(config.identity.pepper_file))
    return Keyring(store, compile_config(config).keys, pepper, time.time, os.urandom)


def tenant_publisher(config: Config) -> TenantPublisher | None:
    """Who checks the tenants file; None when there is none."""
    if not config.identity.tenants_file:
        return None

    def read(data: bytes) -> list[Tenant]:
        return list(tenant_table(load_tenants(data, config)).values())

    return TenantPublisher(Path(config.identity.tenants_file), state_dir(config), read)


def file_tenants(config: Config) -> frozenset[str]:
    """The tenants of the last good file; raises ``StoreUnavailable``."""
    tenants = FollowedTenants(state_dir(config), {})
    tenants.refresh()
    return tenants.names()


def key_set_fetcher(config: Config) -> KeySetFetcher:
    """What keeps the issuers' keys up to date; one for each host."""
    return KeySetFetcher(config.identity.issuers, key_sets_dir(config))
