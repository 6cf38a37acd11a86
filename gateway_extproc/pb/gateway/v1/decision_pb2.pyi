import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    ALLOWED: _ClassVar[Outcome]
    REFUSED: _ClassVar[Outcome]
    FAILED: _ClassVar[Outcome]
    ABORTED: _ClassVar[Outcome]
    OPENED: _ClassVar[Outcome]
OUTCOME_UNSPECIFIED: Outcome
ALLOWED: Outcome
REFUSED: Outcome
FAILED: Outcome
ABORTED: Outcome
OPENED: Outcome

class DecisionRecord(_message.Message):
    __slots__ = ("decision_id", "request_id", "trace_id", "span_id", "time", "gateway_version", "worker", "policy_revision", "tenant", "user", "application", "credential_id", "auth_method", "roles", "labels", "data_classes", "role", "rule", "endpoint", "method", "path", "client_dialect", "requested_model", "stream", "prompt", "request_body_bytes", "scannable_chars", "scanned_chars", "dropped_messages", "outcome", "status", "refusal", "trail", "limits", "findings", "findings_left_out", "degraded", "failed_open", "events", "route", "attempts", "provider", "target_model", "response_model", "stop_reason", "cache_hit", "provider_request_id", "response_details", "routing", "usage", "cost_nanos", "price_version", "worst_case_nanos", "response_body_bytes", "delivered_bytes", "first_byte_ms", "duration_ms", "cache", "masked", "texts", "seq", "chain")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_VERSION_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    AUTH_METHOD_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASSES_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    CLIENT_DIALECT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_MODEL_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    SCANNABLE_CHARS_FIELD_NUMBER: _ClassVar[int]
    SCANNED_CHARS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    FAILED_OPEN_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    TARGET_MODEL_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_MODEL_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_DETAILS_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_NANOS_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    WORST_CASE_NANOS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FIRST_BYTE_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    MASKED_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    request_id: str
    trace_id: str
    span_id: str
    time: _timestamp_pb2.Timestamp
    gateway_version: str
    worker: int
    policy_revision: str
    tenant: str
    user: str
    application: str
    credential_id: str
    auth_method: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    data_classes: _containers.RepeatedScalarFieldContainer[str]
    role: str
    rule: str
    endpoint: str
    method: str
    path: str
    client_dialect: str
    requested_model: str
    stream: bool
    prompt: Prompt
    request_body_bytes: int
    scannable_chars: int
    scanned_chars: int
    dropped_messages: int
    outcome: Outcome
    status: int
    refusal: Refusal
    trail: _containers.RepeatedCompositeFieldContainer[TrailEntry]
    limits: _containers.RepeatedCompositeFieldContainer[LimitState]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    findings_left_out: int
    degraded: _containers.RepeatedScalarFieldContainer[str]
    failed_open: bool
    events: _containers.RepeatedCompositeFieldContainer[Event]
    route: str
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    provider: str
    target_model: str
    response_model: str
    stop_reason: str
    cache_hit: bool
    provider_request_id: str
    response_details: str
    routing: RoutingDecision
    usage: Usage
    cost_nanos: int
    price_version: str
    worst_case_nanos: int
    response_body_bytes: int
    delivered_bytes: int
    first_byte_ms: float
    duration_ms: float
    cache: Cache
    masked: _containers.RepeatedScalarFieldContainer[str]
    texts: bool
    seq: int
    chain: str
    def __init__(self, decision_id: _Optional[str] = ..., request_id: _Optional[str] = ..., trace_id: _Optional[str] = ..., span_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., gateway_version: _Optional[str] = ..., worker: _Optional[int] = ..., policy_revision: _Optional[str] = ..., tenant: _Optional[str] = ..., user: _Optional[str] = ..., application: _Optional[str] = ..., credential_id: _Optional[str] = ..., auth_method: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., data_classes: _Optional[_Iterable[str]] = ..., role: _Optional[str] = ..., rule: _Optional[str] = ..., endpoint: _Optional[str] = ..., method: _Optional[str] = ..., path: _Optional[str] = ..., client_dialect: _Optional[str] = ..., requested_model: _Optional[str] = ..., stream: _Optional[bool] = ..., prompt: _Optional[_Union[Prompt, _Mapping]] = ..., request_body_bytes: _Optional[int] = ..., scannable_chars: _Optional[int] = ..., scanned_chars: _Optional[int] = ..., dropped_messages: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., status: _Optional[int] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., trail: _Optional[_Iterable[_Union[TrailEntry, _Mapping]]] = ..., limits: _Optional[_Iterable[_Union[LimitState, _Mapping]]] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., findings_left_out: _Optional[int] = ..., degraded: _Optional[_Iterable[str]] = ..., failed_open: _Optional[bool] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., route: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., provider: _Optional[str] = ..., target_model: _Optional[str] = ..., response_model: _Optional[str] = ..., stop_reason: _Optional[str] = ..., cache_hit: _Optional[bool] = ..., provider_request_id: _Optional[str] = ..., response_details: _Optional[str] = ..., routing: _Optional[_Union[RoutingDecision, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., cost_nanos: _Optional[int] = ..., price_version: _Optional[str] = ..., worst_case_nanos: _Optional[int] = ..., response_body_bytes: _Optional[int] = ..., delivered_bytes: _Optional[int] = ..., first_byte_ms: _Optional[float] = ..., duration_ms: _Optional[float] = ..., cache: _Optional[_Union[Cache, _Mapping]] = ..., masked: _Optional[_Iterable[str]] = ..., texts: _Optional[bool] = ..., seq: _Optional[int] = ..., chain: _Optional[str] = ...) -> None: ...

class Cache(_message.Message):
    __slots__ = ("status", "kind", "reason", "similarity", "age_s", "saved_nanos", "saved_usage")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    SAVED_NANOS_FIELD_NUMBER: _ClassVar[int]
    SAVED_USAGE_FIELD_NUMBER: _ClassVar[int]
    status: str
    kind: str
    reason: str
    similarity: float
    age_s: float
    saved_nanos: int
    saved_usage: Usage
    def __init__(self, status: _Optional[str] = ..., kind: _Optional[str] = ..., reason: _Optional[str] = ..., similarity: _Optional[float] = ..., age_s: _Optional[float] = ..., saved_nanos: _Optional[int] = ..., saved_usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class ChainLine(_message.Message):
    __slots__ = ("header", "checkpoint", "seq", "chain")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    header: SegmentHeader
    checkpoint: Checkpoint
    seq: int
    chain: str
    def __init__(self, header: _Optional[_Union[SegmentHeader, _Mapping]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., seq: _Optional[int] = ..., chain: _Optional[str] = ...) -> None: ...

class SegmentHeader(_message.Message):
    __slots__ = ("format", "log", "worker", "boot_id", "segment", "policy_revision", "gateway_version", "time", "previous", "previous_torn_bytes")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_TORN_BYTES_FIELD_NUMBER: _ClassVar[int]
    format: int
    log: str
    worker: int
    boot_id: str
    segment: int
    policy_revision: str
    gateway_version: str
    time: str
    previous: str
    previous_torn_bytes: int
    def __init__(self, format: _Optional[int] = ..., log: _Optional[str] = ..., worker: _Optional[int] = ..., boot_id: _Optional[str] = ..., segment: _Optional[int] = ..., policy_revision: _Optional[str] = ..., gateway_version: _Optional[str] = ..., time: _Optional[str] = ..., previous: _Optional[str] = ..., previous_torn_bytes: _Optional[int] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("log", "worker", "boot_id", "segment", "seq", "head", "time", "key_id", "signature")
    LOG_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    log: str
    worker: int
    boot_id: str
    segment: int
    seq: int
    head: str
    time: str
    key_id: str
    signature: str
    def __init__(self, log: _Optional[str] = ..., worker: _Optional[int] = ..., boot_id: _Optional[str] = ..., segment: _Optional[int] = ..., seq: _Optional[int] = ..., head: _Optional[str] = ..., time: _Optional[str] = ..., key_id: _Optional[str] = ..., signature: _Optional[str] = ...) -> None: ...

class Prompt(_message.Message):
    __slots__ = ("bytes", "hmac_sha256")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    HMAC_SHA256_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    hmac_sha256: str
    def __init__(self, bytes: _Optional[int] = ..., hmac_sha256: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("category", "kind", "action", "subject", "rule")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    category: str
    kind: str
    action: str
    subject: str
    rule: str
    def __init__(self, category: _Optional[str] = ..., kind: _Optional[str] = ..., action: _Optional[str] = ..., subject: _Optional[str] = ..., rule: _Optional[str] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "code", "status", "param", "rule")
    REASON_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PARAM_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    code: str
    status: int
    param: str
    rule: str
    def __init__(self, reason: _Optional[str] = ..., code: _Optional[str] = ..., status: _Optional[int] = ..., param: _Optional[str] = ..., rule: _Optional[str] = ...) -> None: ...

class TrailEntry(_message.Message):
    __slots__ = ("stage", "phase", "verdict", "rule", "microseconds")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    MICROSECONDS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    phase: str
    verdict: str
    rule: str
    microseconds: int
    def __init__(self, stage: _Optional[str] = ..., phase: _Optional[str] = ..., verdict: _Optional[str] = ..., rule: _Optional[str] = ..., microseconds: _Optional[int] = ...) -> None: ...

class LimitState(_message.Message):
    __slots__ = ("id", "limit", "remaining", "reset_s", "allowed", "mode", "measure", "budget", "held", "settled")
    ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESET_S_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    id: str
    limit: int
    remaining: int
    reset_s: float
    allowed: bool
    mode: str
    measure: str
    budget: bool
    held: int
    settled: int
    def __init__(self, id: _Optional[str] = ..., limit: _Optional[int] = ..., remaining: _Optional[int] = ..., reset_s: _Optional[float] = ..., allowed: _Optional[bool] = ..., mode: _Optional[str] = ..., measure: _Optional[str] = ..., budget: _Optional[bool] = ..., held: _Optional[int] = ..., settled: _Optional[int] = ...) -> None: ...

class RoutingDecision(_message.Message):
    __slots__ = ("rule", "strategy", "targets", "dropped", "dropped_left_out", "shadow_rules", "shadow_targets", "complexity")
    RULE_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_RULES_FIELD_NUMBER: _ClassVar[int]
    SHADOW_TARGETS_FIELD_NUMBER: _ClassVar[int]
    COMPLEXITY_FIELD_NUMBER: _ClassVar[int]
    rule: str
    strategy: str
    targets: _containers.RepeatedScalarFieldContainer[str]
    dropped: _containers.RepeatedCompositeFieldContainer[DroppedTarget]
    dropped_left_out: int
    shadow_rules: _containers.RepeatedScalarFieldContainer[str]
    shadow_targets: _containers.RepeatedScalarFieldContainer[str]
    complexity: float
    def __init__(self, rule: _Optional[str] = ..., strategy: _Optional[str] = ..., targets: _Optional[_Iterable[str]] = ..., dropped: _Optional[_Iterable[_Union[DroppedTarget, _Mapping]]] = ..., dropped_left_out: _Optional[int] = ..., shadow_rules: _Optional[_Iterable[str]] = ..., shadow_targets: _Optional[_Iterable[str]] = ..., complexity: _Optional[float] = ...) -> None: ...

class DroppedTarget(_message.Message):
    __slots__ = ("target", "cause", "why")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    target: str
    cause: str
    why: str
    def __init__(self, target: _Optional[str] = ..., cause: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("rule", "kind", "direction", "action", "mode", "path", "start", "end", "score", "fingerprint")
    RULE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    rule: str
    kind: str
    direction: str
    action: str
    mode: str
    path: str
    start: int
    end: int
    score: float
    fingerprint: str
    def __init__(self, rule: _Optional[str] = ..., kind: _Optional[str] = ..., direction: _Optional[str] = ..., action: _Optional[str] = ..., mode: _Optional[str] = ..., path: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., score: _Optional[float] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("target", "cluster", "status", "outcome", "dropped")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    target: str
    cluster: str
    status: int
    outcome: str
    dropped: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, target: _Optional[str] = ..., cluster: _Optional[str] = ..., status: _Optional[int] = ..., outcome: _Optional[str] = ..., dropped: _Optional[_Iterable[str]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "source", "cache_write_tokens", "seconds", "characters", "audio_prompt_tokens", "audio_completion_tokens", "image_prompt_tokens", "image_completion_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    source: str
    cache_write_tokens: int
    seconds: int
    characters: int
    audio_prompt_tokens: int
    audio_completion_tokens: int
    image_prompt_tokens: int
    image_completion_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., source: _Optional[str] = ..., cache_write_tokens: _Optional[int] = ..., seconds: _Optional[int] = ..., characters: _Optional[int] = ..., audio_prompt_tokens: _Optional[int] = ..., audio_completion_tokens: _Optional[int] = ..., image_prompt_tokens: _Optional[int] = ..., image_completion_tokens: _Optional[int] = ...) -> None: ...

class AdminRecord(_message.Message):
    __slots__ = ("time", "method", "path", "source", "permission", "status", "reason", "tenant", "user", "application", "credential_id", "auth_method", "role", "rule")
    TIME_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    AUTH_METHOD_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    method: str
    path: str
    source: str
    permission: str
    status: int
    reason: str
    tenant: str
    user: str
    application: str
    credential_id: str
    auth_method: str
    role: str
    rule: str
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., method: _Optional[str] = ..., path: _Optional[str] = ..., source: _Optional[str] = ..., permission: _Optional[str] = ..., status: _Optional[int] = ..., reason: _Optional[str] = ..., tenant: _Optional[str] = ..., user: _Optional[str] = ..., application: _Optional[str] = ..., credential_id: _Optional[str] = ..., auth_method: _Optional[str] = ..., role: _Optional[str] = ..., rule: _Optional[str] = ...) -> None: ...

class AlertRecord(_message.Message):
    __slots__ = ("time", "kind", "budget", "subject", "percent", "used", "limit", "masked", "seq", "chain")
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MASKED_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    kind: str
    budget: str
    subject: str
    percent: int
    used: int
    limit: int
    masked: _containers.RepeatedScalarFieldContainer[str]
    seq: int
    chain: str
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[str] = ..., budget: _Optional[str] = ..., subject: _Optional[str] = ..., percent: _Optional[int] = ..., used: _Optional[int] = ..., limit: _Optional[int] = ..., masked: _Optional[_Iterable[str]] = ..., seq: _Optional[int] = ..., chain: _Optional[str] = ...) -> None: ...

class CostRecord(_message.Message):
    __slots__ = ("decision_id", "request_id", "time", "tenant", "user", "application", "route", "provider", "model", "usage", "cost_nanos", "price_version", "outcome", "labels", "masked", "cache_hit", "saved_nanos", "credential_id", "endpoint", "requested_model", "cache_kind", "saved_usage", "seq", "chain")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_NANOS_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MASKED_FIELD_NUMBER: _ClassVar[int]
    CACHE_HIT_FIELD_NUMBER: _ClassVar[int]
    SAVED_NANOS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_MODEL_FIELD_NUMBER: _ClassVar[int]
    CACHE_KIND_FIELD_NUMBER: _ClassVar[int]
    SAVED_USAGE_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    request_id: str
    time: _timestamp_pb2.Timestamp
    tenant: str
    user: str
    application: str
    route: str
    provider: str
    model: str
    usage: Usage
    cost_nanos: int
    price_version: str
    outcome: Outcome
    labels: _containers.ScalarMap[str, str]
    masked: _containers.RepeatedScalarFieldContainer[str]
    cache_hit: bool
    saved_nanos: int
    credential_id: str
    endpoint: str
    requested_model: str
    cache_kind: str
    saved_usage: Usage
    seq: int
    chain: str
    def __init__(self, decision_id: _Optional[str] = ..., request_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tenant: _Optional[str] = ..., user: _Optional[str] = ..., application: _Optional[str] = ..., route: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., cost_nanos: _Optional[int] = ..., price_version: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., masked: _Optional[_Iterable[str]] = ..., cache_hit: _Optional[bool] = ..., saved_nanos: _Optional[int] = ..., credential_id: _Optional[str] = ..., endpoint: _Optional[str] = ..., requested_model: _Optional[str] = ..., cache_kind: _Optional[str] = ..., saved_usage: _Optional[_Union[Usage, _Mapping]] = ..., seq: _Optional[int] = ..., chain: _Optional[str] = ...) -> None: ...

class ShadowRecord(_message.Message):
    __slots__ = ("decision_id", "time", "route", "provider", "target_model", "outcome", "status", "duration_ms", "stop_reason", "usage", "cost_nanos", "price_version", "seq", "chain")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    TARGET_MODEL_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_NANOS_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    time: _timestamp_pb2.Timestamp
    route: str
    provider: str
    target_model: str
    outcome: str
    status: int
    duration_ms: float
    stop_reason: str
    usage: Usage
    cost_nanos: int
    price_version: str
    seq: int
    chain: str
    def __init__(self, decision_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., route: _Optional[str] = ..., provider: _Optional[str] = ..., target_model: _Optional[str] = ..., outcome: _Optional[str] = ..., status: _Optional[int] = ..., duration_ms: _Optional[float] = ..., stop_reason: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., cost_nanos: _Optional[int] = ..., price_version: _Optional[str] = ..., seq: _Optional[int] = ..., chain: _Optional[str] = ...) -> None: ...

class SealedTexts(_message.Message):
    __slots__ = ("version", "decision_id", "time", "expires", "rule", "directions", "keys", "nonce", "sealed")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    DIRECTIONS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    version: int
    decision_id: str
    time: _timestamp_pb2.Timestamp
    expires: _timestamp_pb2.Timestamp
    rule: str
    directions: _containers.RepeatedScalarFieldContainer[str]
    keys: _containers.RepeatedCompositeFieldContainer[SealedKey]
    nonce: bytes
    sealed: bytes
    def __init__(self, version: _Optional[int] = ..., decision_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rule: _Optional[str] = ..., directions: _Optional[_Iterable[str]] = ..., keys: _Optional[_Iterable[_Union[SealedKey, _Mapping]]] = ..., nonce: _Optional[bytes] = ..., sealed: _Optional[bytes] = ...) -> None: ...

class SealedKey(_message.Message):
    __slots__ = ("reviewer", "key_id", "ephemeral", "wrapped")
    REVIEWER_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_FIELD_NUMBER: _ClassVar[int]
    reviewer: str
    key_id: str
    ephemeral: bytes
    wrapped: bytes
    def __init__(self, reviewer: _Optional[str] = ..., key_id: _Optional[str] = ..., ephemeral: _Optional[bytes] = ..., wrapped: _Optional[bytes] = ...) -> None: ...
