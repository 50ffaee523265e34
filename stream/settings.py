"""Every setting, from `VIGIA_*` environment variables or a `.env` file. A wrong one stops the start."""

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from features.errors import BadInput
from models.model_cache import SCHEME, Address


class Settings(BaseSettings):
    """Defaults fit `vigia up` on this machine."""

    model_config = SettingsConfigDict(env_prefix="VIGIA_", env_file=".env", extra="ignore", frozen=True)

    kafka_bootstrap: str = Field("127.0.0.1:9092", min_length=1, description="host:port[,host:port]")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_security_ca_file: Path | None = None
    kafka_security_cert_file: Path | None = None
    kafka_security_key_file: Path | None = None
    kafka_security_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_security_username: str | None = Field(None, validate_default=True)
    kafka_security_password: str | None = Field(None, repr=False, validate_default=True)

    redis_url: str = Field("redis://127.0.0.1:6379/0", pattern=r"^(redis|rediss|unix)://")
    state_shards: int = Field(
        1, ge=1, le=256, description="1 on a single Redis, 64 on a cluster; another number is another state"
    )
    state_on_empty: Literal["rebuild", "fresh"] = "rebuild"

    model: Path = Field(
        Path(".vigia/model"), description="the folder of a trained model, or registry:NAME@ALIAS"
    )
    model_cache: Path = Field(Path(".vigia/models"), description="where models of a registry are kept")
    control_rate: float = Field(
        0.0, ge=0, le=1, description="share of REVIEW that passes as APPROVE, to measure by; it costs frauds"
    )
    control_key: str | None = Field(None, min_length=16, repr=False)
    group_id: str = Field("vigia", min_length=1, max_length=200)
    instance_id: str | None = Field(
        None, min_length=1, description="static membership: unique to each worker"
    )
    topic_prefix: str = Field("pix.", pattern=r"^[a-zA-Z0-9._-]*$", max_length=100)
    topic_retention_days: float = Field(75, gt=0)

    http_host: str = "127.0.0.1"
    http_port: int = Field(
        8000, ge=0, le=65535, description="/metrics, /healthz, /readyz; 0 takes a free one"
    )
    api_host: str = "127.0.0.1"
    api_port: int = Field(
        8080, ge=0, le=65535, description="the HTTP API of `vigia serve`; 0 takes a free one"
    )
    batch_max: int = Field(512, ge=1, le=1_000, description="most events that one batch takes")
    """Five on their way are no more than is read back at a time (`kafka_log`); the producer has room."""
    commit_seconds: float = Field(0.25, gt=0, description="least time between two commits")
    decision_deadline: float = Field(10.0, gt=0, description="seconds after which a decision is late")

    @field_validator("kafka_security_ca_file", "kafka_security_cert_file", "kafka_security_key_file")
    @classmethod
    def _is_readable(cls, value: Path | None) -> Path | None:
        if value is not None and not os.access(value, os.R_OK):
            raise ValueError("it should be a PEM file that exists and can be read")
        return value

    @field_validator("kafka_security_username", "kafka_security_password")
    @classmethod
    def _is_there_for_sasl(cls, value: str | None, info: ValidationInfo) -> str | None:
        protocol = info.data.get("kafka_security_protocol", "")
        if not value and protocol.startswith("SASL"):
            raise ValueError(f"it should be set, for VIGIA_KAFKA_SECURITY_PROTOCOL is {protocol}")
        return value

    @field_validator("model")
    @classmethod
    def _is_an_address(cls, value: Path) -> Path:
        if os.fspath(value).startswith(SCHEME):
            try:
                Address.parse(os.fspath(value))
            except BadInput as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("redis_url")
    @classmethod
    def _has_ports(cls, value: str) -> str:
        """`redis://a:1,b:2` names several nodes of a cluster, so no one URL parser reads it."""
        scheme, _, rest = value.partition("://")
        hosts = rest.partition("?")[0].partition("/")[0].rpartition("@")[2].split(",")
        for host in hosts if scheme != "unix" else ():
            try:
                name = urlsplit(f"//{host}")
                wrong = not name.hostname or name.port == 0
            except ValueError:
                wrong = True
            if wrong:
                raise ValueError(
                    "it should be redis://host[:port][,host:port]/number, a port from 1 to 65535"
                )
        return value

    def topic(self, name: str) -> str:
        """The full name of a topic, e.g. `pix.decisions` for `decisions`."""
        return self.topic_prefix + name

    def kafka_client_config(self) -> dict[str, Any]:
        """librdkafka's settings for any client of this cluster."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.kafka_bootstrap,
            "security.protocol": self.kafka_security_protocol,
            "ssl.ca.location": self.kafka_security_ca_file and str(self.kafka_security_ca_file),
            "ssl.certificate.location": self.kafka_security_cert_file and str(self.kafka_security_cert_file),
            "ssl.key.location": self.kafka_security_key_file and str(self.kafka_security_key_file),
            # A broker that is away is told once, by us, not by librdkafka twenty times a second.
            "log_level": 2,
        }
        if self.kafka_security_protocol.startswith("SASL"):
            config |= {
                "sasl.mechanism": self.kafka_security_sasl_mechanism,
                "sasl.username": self.kafka_security_username,
                "sasl.password": self.kafka_security_password,
            }
        return {name: value for name, value in config.items() if value is not None}


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` that are None are left to it. Raises BadInput."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "VIGIA_" + "_".join(str(part) for part in first["loc"]).upper()
        # an address may carry a password
        secret = "URL" in name or "PASSWORD" in name or name.endswith("CONTROL_KEY")
        given = "" if secret else f" (it is {str(first['input'])!r})"
        told = first["msg"].removeprefix("Value error, ")
        raise BadInput(f"{name}: {told}{given}") from None
