"""The section ``catalogue``, and what is known of a target's model when all its sources are laid
over each other: the shipped table, a file of the installation, the configuration itself.

Facts and prices are data: nothing here is needed to send a request, but filters and strategies
of ``routing`` judge by it, and so do costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from gateway_extproc.config.base import EndpointName, Id, ModelName, Nanos, Positive, Section
from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.core.money import Price, Rates
from gateway_extproc.core.route import UNKNOWN, Capability, ModelFacts

Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class ModelRates(Section):
    """Nano-dollars a token (1,000 = one dollar a million tokens)."""

    prompt_nanos: Nanos
    """A prompt token."""
    completion_nanos: Nanos
    """A completion token."""
    cached_nanos: Nanos | None = None
    """A prompt token read from the provider's cache; ``prompt_nanos`` if not given."""
    cache_write_nanos: Nanos | None = None
    """A prompt token written to the provider's cache; ``prompt_nanos`` if not given."""
    audio_prompt_nanos: Nanos | None = None
    """A prompt token of a sound; ``prompt_nanos`` if not given."""
    audio_completion_nanos: Nanos | None = None
    """A completion token of speech; ``completion_nanos`` if not given."""
    image_prompt_nanos: Nanos | None = None
    """A prompt token of an image; ``prompt_nanos`` if not given."""
    image_completion_nanos: Nanos | None = None
    """A completion token of an image; ``completion_nanos`` if not given."""


class LongRates(ModelRates):
    """Rates of long prompts: they hold for the whole request, its answer included."""

    above_tokens: Positive
    """Prompts of more tokens than this are long."""


class ModelPrice(ModelRates):
    """What a model costs.  A price replaces a price: nothing of the one below shines through."""

    long: LongRates | None = None
    """Rates of long prompts, where the provider has such."""
    batch: ModelRates | None = None
    """Rates of endpoints that answer in batches."""
    second_nanos: Nanos | None = None
    """A second of sound, of a model that is charged by those instead of tokens."""
    character_nanos: Nanos | None = None
    """A character of text to be spoken, of a model that is charged by those instead of tokens."""


class CatalogueModel(Section):
    """What is known of a model; what an entry does not say, the one below it says."""

    model: ModelName
    """The model's name at its provider."""
    provider: Id | None = None
    """Only at this provider of the configuration; at any by default."""
    vendor: str = ""
    """Whose figures they are; for readers."""
    price: ModelPrice | None = None
    """What its tokens cost; ``prices`` of the configuration stands above it."""
    context_tokens: Positive | None = None
    """Tokens of prompt and answer together that it can hold."""
    max_output_tokens: Positive | None = None
    """Tokens of its longest answer."""
    capabilities: tuple[Capability, ...] | None = None
    """All that it can do; requests that need more go elsewhere."""
    endpoints: tuple[EndpointName, ...] | None = None
    """The interfaces that it can serve; all by default."""
    quality: Annotated[float, Field(ge=0, le=1)] | None = None
    """How good its answers are: the shipped figures rank a vendor's line-up and measure nothing;
    put those of your own evaluation here."""
    regions: tuple[Region, ...] | None = None
    """All regions in which its provider may process it, where those are more than the provider's
    own ``region``; residency asks for each of them."""
    data_classes: tuple[Id, ...] | None = None
    """The only classes that it may see, of those that its provider is approved for."""


class CatalogueFile(Section):
    """A file of models: the shipped one, or the one that ``catalogue.file`` names."""

    version: Version
    """Names the table in cost records."""
    models: tuple[CatalogueModel, ...]
    """One entry a model, or a model at a provider."""


class Catalogue(Section):
    """What is known of models, laid over the shipped table."""

    file: str = ""
    """JSON file with ``version`` and ``models`` as here; read when the configuration is."""
    version: Version = "configuration"
    """Names the prices of ``models`` in cost records."""
    models: tuple[CatalogueModel, ...] = ()
    """Entries that stand above the file's and the shipped ones."""


class ReadCatalogue(Catalogue):
    """The section with its file read."""

    read: CatalogueFile
    """What stands in the file."""


class CatalogueUnreadable(ValueError):
    """A file that is no catalogue; says where and why, in one line."""


def parse_catalogue(data: bytes) -> CatalogueFile:
    """A file's catalogue; raises ``CatalogueUnreadable``."""
    try:
        file = CatalogueFile.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise CatalogueUnreadable(f"{where}: {first['msg']}") from None
    for mistake in catalogue_mistakes("", file.models):
        raise CatalogueUnreadable(str(mistake))
    return file


def catalogue_mistakes(section: str, models: tuple[CatalogueModel, ...]) -> Iterator[Mistake]:
    """Entries that stand more than once."""
    counts = Counter((entry.provider, entry.model) for entry in models)
    for i, entry in enumerate(models):
        if counts[entry.provider, entry.model] > 1:
            where = f"{section}models[{i}].model"
            yield Mistake(where, repr(entry.model), "a name that stands only once")


@cache
def shipped() -> CatalogueFile:
    """The table that comes with the package; docs/routing.md says where its figures are from."""
    text = resources.files("gateway_extproc.config").joinpath("catalogue.json").read_bytes()
    return parse_catalogue(text)


@dataclass(frozen=True, slots=True)
class Known:
    """What all layers together say of one target's model."""

    facts: ModelFacts = UNKNOWN
    price: Price | None = None
    data_classes: frozenset[str] | None = None


class Layers:
    """Shipped table, file and configuration over each other."""

    def __init__(self, section: Catalogue) -> None:
        layers = [shipped()]
        if isinstance(section, ReadCatalogue):
            layers.append(section.read)
        own = CatalogueFile(version=section.version, models=section.models)
        self._layers = [
            (layer.version, {(m.provider, m.model): m for m in layer.models})
            for layer in (*layers, own)
        ]

    def of(self, provider: str, model: str) -> Known:
        """What is known of a model at a provider."""
        said: dict[str, Any] = {}
        version = ""
        for layer_version, models in self._layers:
            for key in ((None, model), (provider, model)):
                entry = models.get(key)
                if entry is None:
                    continue
                said |= {name: v for name, v in entry if v is not None}
                version = layer_version if entry.price is not None else version
        return Known(_facts(said), _price(said.get("price"), version), _set(said, "data_classes"))


def _facts(said: dict[str, Any]) -> ModelFacts:
    return ModelFacts(
        quality=said.get("quality"),
        context_tokens=said.get("context_tokens"),
        max_output_tokens=said.get("max_output_tokens"),
        capabilities=_set(said, "capabilities"),
        endpoints=_set(said, "endpoints"),
        regions=_set(said, "regions") or frozenset(),
    )


def _set(said: dict[str, Any], name: str) -> frozenset[str] | None:
    return frozenset(said[name]) if name in said else None


def _price(price: ModelPrice | None, version: str) -> Price | None:
    if price is None:
        return None
    return Price(
        price.prompt_nanos,
        price.completion_nanos,
        price.cached_nanos,
        version,
        price.cache_write_nanos,
        None if price.long is None else price.long.above_tokens,
        _rates(price.long),
        _rates(price.batch),
        price.second_nanos,
        price.character_nanos,
        price.audio_prompt_nanos,
        price.audio_completion_nanos,
        price.image_prompt_nanos,
        price.image_completion_nanos,
    )


def _rates(rates: ModelRates | None) -> Rates | None:
    if rates is None:
        return None
    return Rates(
        rates.prompt_nanos, rates.completion_nanos, rates.cached_nanos, rates.cache_write_nanos,
        rates.audio_prompt_nanos, rates.audio_completion_nanos,
        rates.image_prompt_nanos, rates.image_completion_nanos,
    )  # fmt: skip
