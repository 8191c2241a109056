"""The sections of a judge card: where it is served, how it decodes, what images it gets, how hard it may be pushed, its price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field

from isr.judging.thinking import Thinking, ThinkingName


class Section(BaseModel):
    """A part of a card: its fields and no others, of their types and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Endpoint(Section):
    """Where the judge is served; no part of its identity.

    ``base_urls``: several servers of the same model with the same settings, asked as one judge. A query in an address
    (Azure's ``?api-version=...``) goes with every request.
    """

    base_url: str = ""
    base_urls: tuple[str, ...] = ()
    api_key_env: str = ""
    api_key_header: Literal["authorization", "api-key"] | None = None

    @property
    def each(self) -> tuple[Endpoint, ...]:
        """The endpoints, one for each address."""
        plain = self.model_copy(update={"base_urls": ()})
        return tuple(plain.model_copy(update={"base_url": url}) for url in self.base_urls) or (plain,)

    @property
    def root(self) -> str:
        """The address without its query, without a slash at the end."""
        return urlunsplit(urlsplit(self.base_url)._replace(query="")).rstrip("/")

    @property
    def query(self) -> dict[str, str]:
        """The query of the address."""
        return dict(parse_qsl(urlsplit(self.base_url).query, keep_blank_values=True))

    @property
    def key_header(self) -> tuple[str, str]:
        """(name of the header that carries the key, what stands before the key in it).

        Azure's route by deployment (with an ``api-version``) takes ``api-key``, everybody else a bearer's token.
        """
        azure = "api-version" in self.query and self.host.endswith((".azure.com", ".azure-api.net"))
        name = self.api_key_header or ("api-key" if azure else "authorization")
        return (name, "") if name == "api-key" else ("Authorization", "Bearer ")

    @property
    def host(self) -> str:
        return (urlsplit(self.base_url).hostname or "").lower()

    @property
    def address(self) -> str:
        """Host and port, as answers are told to come from."""
        return urlsplit(self.base_url).netloc

    @property
    def scheme(self) -> str:
        return urlsplit(self.base_url).scheme.lower()


class Decoding(Section):
    """Sampling, and the dialect in which this host takes it."""

    temperature: float | None = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(512, ge=1)
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: int | None = 0
    reasoning_effort: str | None = None
    structured: Literal["json_schema", "json_schema_basic", "json_object", "words"] = "json_schema"
    omit: tuple[str, ...] = ()
    extra: Mapping[str, Any] = Field(default_factory=dict)
    logprobs: int = Field(0, ge=0, le=20)  # alternatives to look at for a verdict's p_yes; 0: none
    thinking: Thinking = None  # true, false or a budget in tokens; None: as the model's chat template has it
    thinking_name: ThinkingName = "chat_template_kwargs"


class Images(Section):
    """How images are prepared for this judge."""

    max_side: int = Field(1024, ge=16)
    format: Literal["png", "jpeg"] = "png"
    quality: int = Field(95, ge=1, le=100)
    layout: Literal["separate", "side_by_side"] = "separate"
    detail: Literal["auto", "low", "high", ""] = ""
    processor: Mapping[str, Any] = Field(default_factory=dict)  # local models: min_pixels, max_pixels, ...


class Limits(Section):
    """How hard the endpoint may be pushed; no part of the identity."""

    concurrency: int = Field(8, ge=1, le=1024)
    requests_per_minute: float | None = Field(None, gt=0)
    timeout_s: float = Field(120.0, gt=0)
    max_attempts: int = Field(9, ge=1)
    max_wait_s: float = Field(900.0, ge=0)
    max_retry_after_s: float = Field(600.0, ge=0)
    batch_requests: int = Field(50_000, ge=1)  # of one file of requests (--engine openai-batch)
    batch_mb: float = Field(200.0, gt=0)  # millions of bytes of one such file
    batch_poll_s: float = Field(30.0, gt=0)  # how soon a batch is looked at; later ten times as seldom


class Price(Section):
    """USD per million tokens, for the dry run and the budget, the rule that counts image tokens, and what a batch costs."""

    input: float | None = Field(None, ge=0)
    output: float | None = Field(None, ge=0)
    image_tokens: str = ""
    batch: float | None = Field(None, ge=0, le=1)  # share of these prices that the same costs in a batch
