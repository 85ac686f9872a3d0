import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConfidenceCategory(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFIDENCE_CATEGORY_UNSPECIFIED: _ClassVar[ConfidenceCategory]
    CONFIDENCE_CATEGORY_NONE: _ClassVar[ConfidenceCategory]
    CONFIDENCE_CATEGORY_LOW: _ClassVar[ConfidenceCategory]
    CONFIDENCE_CATEGORY_MEDIUM: _ClassVar[ConfidenceCategory]
    CONFIDENCE_CATEGORY_HIGH: _ClassVar[ConfidenceCategory]
    CONFIDENCE_CATEGORY_CERTAIN: _ClassVar[ConfidenceCategory]

class ConsolidationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSOLIDATION_STATE_UNSPECIFIED: _ClassVar[ConsolidationState]
    CONSOLIDATION_STATE_RECENT: _ClassVar[ConsolidationState]
    CONSOLIDATION_STATE_CONSOLIDATING: _ClassVar[ConsolidationState]
    CONSOLIDATION_STATE_CONSOLIDATED: _ClassVar[ConsolidationState]
    CONSOLIDATION_STATE_RECONSOLIDATING: _ClassVar[ConsolidationState]

class MemoryType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMORY_TYPE_UNSPECIFIED: _ClassVar[MemoryType]
    MEMORY_TYPE_EPISODIC: _ClassVar[MemoryType]
    MEMORY_TYPE_SEMANTIC: _ClassVar[MemoryType]
    MEMORY_TYPE_PROCEDURAL: _ClassVar[MemoryType]
    MEMORY_TYPE_WORKING: _ClassVar[MemoryType]

class ForgetMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FORGET_MODE_UNSPECIFIED: _ClassVar[ForgetMode]
    FORGET_MODE_SUPPRESS: _ClassVar[ForgetMode]
    FORGET_MODE_DELETE: _ClassVar[ForgetMode]
    FORGET_MODE_OVERWRITE: _ClassVar[ForgetMode]

class AssociationType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASSOCIATION_TYPE_UNSPECIFIED: _ClassVar[AssociationType]
    ASSOCIATION_TYPE_SEMANTIC: _ClassVar[AssociationType]
    ASSOCIATION_TYPE_TEMPORAL: _ClassVar[AssociationType]
    ASSOCIATION_TYPE_CAUSAL: _ClassVar[AssociationType]
    ASSOCIATION_TYPE_SPATIAL: _ClassVar[AssociationType]
    ASSOCIATION_TYPE_EMOTIONAL: _ClassVar[AssociationType]
CONFIDENCE_CATEGORY_UNSPECIFIED: ConfidenceCategory
CONFIDENCE_CATEGORY_NONE: ConfidenceCategory
CONFIDENCE_CATEGORY_LOW: ConfidenceCategory
CONFIDENCE_CATEGORY_MEDIUM: ConfidenceCategory
CONFIDENCE_CATEGORY_HIGH: ConfidenceCategory
CONFIDENCE_CATEGORY_CERTAIN: ConfidenceCategory
CONSOLIDATION_STATE_UNSPECIFIED: ConsolidationState
CONSOLIDATION_STATE_RECENT: ConsolidationState
CONSOLIDATION_STATE_CONSOLIDATING: ConsolidationState
CONSOLIDATION_STATE_CONSOLIDATED: ConsolidationState
CONSOLIDATION_STATE_RECONSOLIDATING: ConsolidationState
MEMORY_TYPE_UNSPECIFIED: MemoryType
MEMORY_TYPE_EPISODIC: MemoryType
MEMORY_TYPE_SEMANTIC: MemoryType
MEMORY_TYPE_PROCEDURAL: MemoryType
MEMORY_TYPE_WORKING: MemoryType
FORGET_MODE_UNSPECIFIED: ForgetMode
FORGET_MODE_SUPPRESS: ForgetMode
FORGET_MODE_DELETE: ForgetMode
FORGET_MODE_OVERWRITE: ForgetMode
ASSOCIATION_TYPE_UNSPECIFIED: AssociationType
ASSOCIATION_TYPE_SEMANTIC: AssociationType
ASSOCIATION_TYPE_TEMPORAL: AssociationType
ASSOCIATION_TYPE_CAUSAL: AssociationType
ASSOCIATION_TYPE_SPATIAL: AssociationType
ASSOCIATION_TYPE_EMOTIONAL: AssociationType

class Confidence(_message.Message):
    __slots__ = ("value", "category", "reasoning")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    value: float
    category: ConfidenceCategory
    reasoning: str
    def __init__(self, value: _Optional[float] = ..., category: _Optional[_Union[ConfidenceCategory, str]] = ..., reasoning: _Optional[str] = ...) -> None: ...

class Memory(_message.Message):
    __slots__ = ("id", "embedding", "activation", "confidence", "last_access", "created_at", "decay_rate", "content", "metadata", "tags", "memory_type")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_ACCESS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DECAY_RATE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TYPE_FIELD_NUMBER: _ClassVar[int]
    id: str
    embedding: _containers.RepeatedScalarFieldContainer[float]
    activation: float
    confidence: Confidence
    last_access: _timestamp_pb2.Timestamp
    created_at: _timestamp_pb2.Timestamp
    decay_rate: float
    content: str
    metadata: _containers.ScalarMap[str, str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    memory_type: MemoryType
    def __init__(self, id: _Optional[str] = ..., embedding: _Optional[_Iterable[float]] = ..., activation: _Optional[float] = ..., confidence: _Optional[_Union[Confidence, _Mapping]] = ..., last_access: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decay_rate: _Optional[float] = ..., content: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., tags: _Optional[_Iterable[str]] = ..., memory_type: _Optional[_Union[MemoryType, str]] = ...) -> None: ...

class Episode(_message.Message):
    __slots__ = ("id", "when", "what", "embedding", "encoding_confidence", "where_location", "who", "why", "how", "decay_rate", "emotional_valence", "importance", "consolidation_state", "last_replay")
    ID_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    ENCODING_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    WHERE_LOCATION_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    DECAY_RATE_FIELD_NUMBER: _ClassVar[int]
    EMOTIONAL_VALENCE_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    CONSOLIDATION_STATE_FIELD_NUMBER: _ClassVar[int]
    LAST_REPLAY_FIELD_NUMBER: _ClassVar[int]
    id: str
    when: _timestamp_pb2.Timestamp
    what: str
    embedding: _containers.RepeatedScalarFieldContainer[float]
    encoding_confidence: Confidence
    where_location: str
    who: _containers.RepeatedScalarFieldContainer[str]
    why: str
    how: str
    decay_rate: float
    emotional_valence: float
    importance: float
    consolidation_state: ConsolidationState
    last_replay: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., when: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., what: _Optional[str] = ..., embedding: _Optional[_Iterable[float]] = ..., encoding_confidence: _Optional[_Union[Confidence, _Mapping]] = ..., where_location: _Optional[str] = ..., who: _Optional[_Iterable[str]] = ..., why: _Optional[str] = ..., how: _Optional[str] = ..., decay_rate: _Optional[float] = ..., emotional_valence: _Optional[float] = ..., importance: _Optional[float] = ..., consolidation_state: _Optional[_Union[ConsolidationState, str]] = ..., last_replay: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RememberRequest(_message.Message):
    __slots__ = ("memory_space_id", "memory", "episode", "auto_link", "link_threshold")
    MEMORY_SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    AUTO_LINK_FIELD_NUMBER: _ClassVar[int]
    LINK_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    memory_space_id: str
    memory: Memory
    episode: Episode
    auto_link: bool
    link_threshold: float
    def __init__(self, memory_space_id: _Optional[str] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ..., episode: _Optional[_Union[Episode, _Mapping]] = ..., auto_link: _Optional[bool] = ..., link_threshold: _Optional[float] = ...) -> None: ...

class RememberResponse(_message.Message):
    __slots__ = ("memory_id", "storage_confidence", "linked_memories", "initial_state")
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    STORAGE_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    LINKED_MEMORIES_FIELD_NUMBER: _ClassVar[int]
    INITIAL_STATE_FIELD_NUMBER: _ClassVar[int]
    memory_id: str
    storage_confidence: Confidence
    linked_memories: _containers.RepeatedScalarFieldContainer[str]
    initial_state: ConsolidationState
    def __init__(self, memory_id: _Optional[str] = ..., storage_confidence: _Optional[_Union[Confidence, _Mapping]] = ..., linked_memories: _Optional[_Iterable[str]] = ..., initial_state: _Optional[_Union[ConsolidationState, str]] = ...) -> None: ...

class ForgetRequest(_message.Message):
    __slots__ = ("memory_space_id", "memory_id", "pattern", "mode")
    MEMORY_SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    memory_space_id: str
    memory_id: str
    pattern: Cue
    mode: ForgetMode
    def __init__(self, memory_space_id: _Optional[str] = ..., memory_id: _Optional[str] = ..., pattern: _Optional[_Union[Cue, _Mapping]] = ..., mode: _Optional[_Union[ForgetMode, str]] = ...) -> None: ...

class ForgetResponse(_message.Message):
    __slots__ = ("memories_affected", "forget_confidence", "reversible")
    MEMORIES_AFFECTED_FIELD_NUMBER: _ClassVar[int]
    FORGET_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    REVERSIBLE_FIELD_NUMBER: _ClassVar[int]
    memories_affected: int
    forget_confidence: Confidence
    reversible: bool
    def __init__(self, memories_affected: _Optional[int] = ..., forget_confidence: _Optional[_Union[Confidence, _Mapping]] = ..., reversible: _Optional[bool] = ...) -> None: ...

class EmbeddingCue(_message.Message):
    __slots__ = ("vector", "similarity_threshold")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    vector: _containers.RepeatedScalarFieldContainer[float]
    similarity_threshold: float
    def __init__(self, vector: _Optional[_Iterable[float]] = ..., similarity_threshold: _Optional[float] = ...) -> None: ...

class SemanticCue(_message.Message):
    __slots__ = ("query", "fuzzy_threshold", "required_tags", "excluded_tags")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    FUZZY_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_TAGS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_TAGS_FIELD_NUMBER: _ClassVar[int]
    query: str
    fuzzy_threshold: float
    required_tags: _containers.RepeatedScalarFieldContainer[str]
    excluded_tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, query: _Optional[str] = ..., fuzzy_threshold: _Optional[float] = ..., required_tags: _Optional[_Iterable[str]] = ..., excluded_tags: _Optional[_Iterable[str]] = ...) -> None: ...

class Cue(_message.Message):
    __slots__ = ("id", "embedding", "semantic", "threshold", "max_results", "spread_activation", "activation_decay")
    ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    SEMANTIC_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MAX_RESULTS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_DECAY_FIELD_NUMBER: _ClassVar[int]
    id: str
    embedding: EmbeddingCue
    semantic: SemanticCue
    threshold: Confidence
    max_results: int
    spread_activation: bool
    activation_decay: float
    def __init__(self, id: _Optional[str] = ..., embedding: _Optional[_Union[EmbeddingCue, _Mapping]] = ..., semantic: _Optional[_Union[SemanticCue, _Mapping]] = ..., threshold: _Optional[_Union[Confidence, _Mapping]] = ..., max_results: _Optional[int] = ..., spread_activation: _Optional[bool] = ..., activation_decay: _Optional[float] = ...) -> None: ...

class RecallRequest(_message.Message):
    __slots__ = ("memory_space_id", "cue", "max_results", "include_metadata", "trace_activation")
    MEMORY_SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CUE_FIELD_NUMBER: _ClassVar[int]
    MAX_RESULTS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_METADATA_FIELD_NUMBER: _ClassVar[int]
    TRACE_ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    memory_space_id: str
    cue: Cue
    max_results: int
    include_metadata: bool
    trace_activation: bool
    def __init__(self, memory_space_id: _Optional[str] = ..., cue: _Optional[_Union[Cue, _Mapping]] = ..., max_results: _Optional[int] = ..., include_metadata: _Optional[bool] = ..., trace_activation: _Optional[bool] = ...) -> None: ...

class RecallMetadata(_message.Message):
    __slots__ = ("total_activated", "above_threshold", "avg_activation", "recall_time_ms", "activation_path")
    TOTAL_ACTIVATED_FIELD_NUMBER: _ClassVar[int]
    ABOVE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    AVG_ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    RECALL_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_PATH_FIELD_NUMBER: _ClassVar[int]
    total_activated: int
    above_threshold: int
    avg_activation: float
    recall_time_ms: int
    activation_path: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, total_activated: _Optional[int] = ..., above_threshold: _Optional[int] = ..., avg_activation: _Optional[float] = ..., recall_time_ms: _Optional[int] = ..., activation_path: _Optional[_Iterable[str]] = ...) -> None: ...

class RecallResponse(_message.Message):
    __slots__ = ("memories", "recall_confidence", "metadata")
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    RECALL_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    memories: _containers.RepeatedCompositeFieldContainer[Memory]
    recall_confidence: Confidence
    metadata: RecallMetadata
    def __init__(self, memories: _Optional[_Iterable[_Union[Memory, _Mapping]]] = ..., recall_confidence: _Optional[_Union[Confidence, _Mapping]] = ..., metadata: _Optional[_Union[RecallMetadata, _Mapping]] = ...) -> None: ...

class AssociateRequest(_message.Message):
    __slots__ = ("memory_space_id", "source_memory", "target_memory", "association_type", "strength", "reason")
    MEMORY_SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_MEMORY_FIELD_NUMBER: _ClassVar[int]
    TARGET_MEMORY_FIELD_NUMBER: _ClassVar[int]
    ASSOCIATION_TYPE_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    memory_space_id: str
    source_memory: str
    target_memory: str
    association_type: AssociationType
    strength: float
    reason: str
    def __init__(self, memory_space_id: _Optional[str] = ..., source_memory: _Optional[str] = ..., target_memory: _Optional[str] = ..., association_type: _Optional[_Union[AssociationType, str]] = ..., strength: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class AssociateResponse(_message.Message):
    __slots__ = ("created", "final_strength", "affected_paths")
    CREATED_FIELD_NUMBER: _ClassVar[int]
    FINAL_STRENGTH_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_PATHS_FIELD_NUMBER: _ClassVar[int]
    created: bool
    final_strength: float
    affected_paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, created: _Optional[bool] = ..., final_strength: _Optional[float] = ..., affected_paths: _Optional[_Iterable[str]] = ...) -> None: ...

class IntrospectRequest(_message.Message):
    __slots__ = ("memory_space_id", "metrics", "include_health", "include_statistics")
    MEMORY_SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_HEALTH_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_STATISTICS_FIELD_NUMBER: _ClassVar[int]
    memory_space_id: str
    metrics: _containers.RepeatedScalarFieldContainer[str]
    include_health: bool
    include_statistics: bool
    def __init__(self, memory_space_id: _Optional[str] = ..., metrics: _Optional[_Iterable[str]] = ..., include_health: _Optional[bool] = ..., include_statistics: _Optional[bool] = ...) -> None: ...

class HealthStatus(_message.Message):
    __slots__ = ("healthy", "summary")
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    healthy: bool
    summary: str
    def __init__(self, healthy: _Optional[bool] = ..., summary: _Optional[str] = ...) -> None: ...

class MemoryStatistics(_message.Message):
    __slots__ = ("total_memories", "total_associations")
    TOTAL_MEMORIES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_ASSOCIATIONS_FIELD_NUMBER: _ClassVar[int]
    total_memories: int
    total_associations: int
    def __init__(self, total_memories: _Optional[int] = ..., total_associations: _Optional[int] = ...) -> None: ...

class IntrospectResponse(_message.Message):
    __slots__ = ("metrics", "health", "statistics", "active_processes", "metrics_snapshot_json")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    METRICS_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    METRICS_SNAPSHOT_JSON_FIELD_NUMBER: _ClassVar[int]
    metrics: _containers.ScalarMap[str, float]
    health: HealthStatus
    statistics: MemoryStatistics
    active_processes: _containers.RepeatedScalarFieldContainer[str]
    metrics_snapshot_json: str
    def __init__(self, metrics: _Optional[_Mapping[str, float]] = ..., health: _Optional[_Union[HealthStatus, _Mapping]] = ..., statistics: _Optional[_Union[MemoryStatistics, _Mapping]] = ..., active_processes: _Optional[_Iterable[str]] = ..., metrics_snapshot_json: _Optional[str] = ...) -> None: ...
