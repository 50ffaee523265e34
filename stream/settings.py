"""Every setting, from `VIGIA_*` environment variables or a `.env` file. A wrong one stops the start."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from features.errors import BadInput


class Settings(BaseSettings):
    """Defaults fit `vigia up` on this machine."""

    model_config = SettingsConfigDict(env_prefix="VIGIA_", env_file=".env", extra="ignore", frozen=True)

    kafka_bootstrap: str = Field("127.0.0.1:9092", min_length=1, description="host:port[,host:port]")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_security_ca_file: Path | None = None
    kafka_security_cert_file: Path | None = None
    kafka_security_key_file: Path | None = None
    kafka_security_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_security_username: str | None = None
    kafka_security_password: str | None = Field(None, repr=False)

    redis_url: str = Field("redis://127.0.0.1:6379/0", pattern=r"^(redis|rediss|unix)://")
    state_shards: Literal[1] = Field(
        1, description="1 on a single Redis; a cluster's 64 is a later version's"
    )
    state_on_empty: Literal["rebuild", "fresh"] = "rebuild"

    model: Path = Field(Path(".vigia/model"), description="the folder of a trained model")
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
    batch_max: int = Field(1024, ge=1, le=10_000, description="most events that one batch takes")
    commit_seconds: float = Field(0.25, gt=0, description="least time between two commits")

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
        secret = "URL" in name or "PASSWORD" in name  # an address may carry a password
        given = "" if secret else f" (it is {first['input']!r})"
        raise BadInput(f"{name}: {first['msg']}{given}") from None
