"""The logs of a worker as the configuration wants them: how durable, how signed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from gateway_extproc import __version__
from gateway_extproc.config.evidencing import CheckpointReceiver, Checkpoints, Evidence
from gateway_extproc.config.model import Config
from gateway_extproc.evidence.checkpoints import Ship, Shipper, Signer, to_file, to_stdout
from gateway_extproc.evidence.log import JsonLinesLog
from gateway_extproc.evidence.metrics import KnownLabels
from gateway_extproc.evidence.policy import RecordPolicy
from gateway_extproc.evidence.recorder import Durability, EvidenceRecorder, open_evidence
from gateway_extproc.evidence.sealing import read_public
from gateway_extproc.evidence.segments import SegmentRules, Segments
from gateway_extproc.evidence.texts import TextKeeper
from gateway_extproc.guardrules import open_redactor
from gateway_extproc.stores.secrets import SecretUnavailable, read_secret_bytes

log = logging.getLogger(__name__)


def open_recorder(
    config: Config,
    revision: str,
    metrics_dir: Path,
    worker: int,
    prompt_key: bytes,
    policy: RecordPolicy,
) -> EvidenceRecorder:
    """The recorder of one worker process.

    Raises ``SecretUnavailable`` without the configured key, OSError when the logs cannot be
    opened.
    """
    checkpoints = config.evidence.checkpoints
    shipper = _shipper(checkpoints, worker) if checkpoints else None
    return open_evidence(
        Path(config.evidence.dir),
        metrics_dir,
        version=__version__,
        worker=worker,
        prompt_key=prompt_key,
        known=KnownLabels.of(config),
        rules=_segment_rules(config.evidence, revision, shipper),
        durability=durability_of(config.evidence),
        shipper=shipper,
        policy=policy,
        open_texts=partial(_open_texts, config, worker) if config.evidence.texts else None,
    )


def open_shadow_log(
    config: Config, revision: str, worker: int, on_loss: Callable[[int], object]
) -> JsonLinesLog:
    """The log of copies, chained as the others are; its checkpoints are not shipped."""
    rules = _segment_rules(config.evidence, revision, None)
    segments = Segments(Path(config.evidence.dir), "shadows", worker, rules)
    return JsonLinesLog(segments, linger_s=config.evidence.batch_ms / 1000, on_loss=on_loss)


def _open_texts(config: Config, worker: int, on_loss: Callable[[int], object]) -> TextKeeper:
    evidence = config.evidence
    return TextKeeper(
        Path(evidence.dir),
        worker,
        evidence.texts,
        [read_public(reviewer.id, reviewer.public_key) for reviewer in evidence.reviewers],
        partial(open_redactor, config),
        on_loss=on_loss,
    )


def durability_of(evidence: Evidence) -> Durability:
    """When a decision counts as recorded, as configured."""
    return Durability(
        strict=evidence.durability == "strict",
        deny=evidence.on_failure == "deny",
        window_s=evidence.batch_ms / 1000,
        timeout_s=evidence.commit_timeout_ms / 1000,
    )


def _segment_rules(evidence: Evidence, revision: str, shipper: Shipper | None) -> SegmentRules:
    rules = SegmentRules(
        max_bytes=evidence.segment_bytes,
        max_age_s=evidence.segment_s,
        policy_revision=revision,
        gateway_version=__version__,
        boot_id=os.urandom(16).hex(),
    )
    if evidence.checkpoints is None or shipper is None:
        log.info("no evidence.checkpoints: logs are chained, but not signed")
        return rules
    path = Path(evidence.checkpoints.key_file)
    try:
        signer = Signer(read_secret_bytes(path))
    except ValueError as error:
        raise SecretUnavailable(f"{path}: {error}") from None
    return replace(
        rules,
        checkpoint_records=evidence.checkpoints.every_records,
        checkpoint_s=evidence.checkpoints.every_s,
        signer=signer,
        ship=shipper.ship,
    )


def _shipper(checkpoints: Checkpoints, worker: int) -> Shipper:
    return Shipper([_receiver(name, checkpoints, worker) for name in checkpoints.to])


def _receiver(name: CheckpointReceiver, checkpoints: Checkpoints, worker: int) -> tuple[str, Ship]:
    if name == "stdout":
        return "standard output", to_stdout
    if name == "file":
        return checkpoints.file, to_file(Path(checkpoints.file))
    # Loads the SDK: only for those who have a collector.
    from gateway_extproc.evidence.otlplogs import CheckpointExporter, endpoint_of

    endpoint = checkpoints.otlp_endpoint or endpoint_of(os.environ)
    if not endpoint:
        raise OSError(
            0, "checkpoints go to otlp, and neither evidence.checkpoints.otlp_endpoint nor "
               "OTEL_EXPORTER_OTLP_ENDPOINT names a collector",
        )  # fmt: skip
    return f"the collector {endpoint}", CheckpointExporter(
        endpoint, version=__version__, worker=worker, environ=os.environ
    )
