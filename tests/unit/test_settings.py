"""Settings: from VIGIA_* and .env; a wrong one is named; each is in docs/settings.md."""

from pathlib import Path

import pytest

from features.errors import BadInput
from stream.settings import Settings, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No VIGIA_* of the machine, and a folder without .env."""
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.chdir(tmp_path)


def variable(name: str) -> str:
    return f"VIGIA_{name.upper()}"


def test_defaults_fit_this_machine() -> None:
    settings = load_settings()
    assert settings.topic("decisions") == "pix.decisions"
    assert settings.kafka_client_config() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "PLAINTEXT",
        "log_level": 2,
    }


def test_each_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIA_TOPIC_PREFIX", "other-")
    monkeypatch.setenv("VIGIA_BATCH_MAX", "7")
    monkeypatch.setenv("VIGIA_UNKNOWN", "is nobody's business")
    settings = load_settings(group_id="from the command line", http_port=None)
    assert settings.topic("alerts") == "other-alerts"
    assert (settings.batch_max, settings.group_id, settings.http_port) == (7, "from the command line", 8000)


def test_a_file_is_read_and_the_environment_goes_before_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("VIGIA_GROUP_ID=of-the-file\nVIGIA_BATCH_MAX=9\nOTHERS=x\n")
    monkeypatch.setenv("VIGIA_BATCH_MAX", "8")
    settings = load_settings()
    assert (settings.group_id, settings.batch_max) == ("of-the-file", 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIGIA_KAFKA_BOOTSTRAP", ""),
        ("VIGIA_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("VIGIA_KAFKA_SECURITY_SASL_MECHANISM", "GSSAPI"),
        ("VIGIA_REDIS_URL", "127.0.0.1:6379"),
        ("VIGIA_STATE_SHARDS", "0"),
        ("VIGIA_STATE_SHARDS", "257"),
        ("VIGIA_REDIS_URL", "redis://h:port/0"),
        ("VIGIA_REDIS_URL", "redis://h:65536/0"),
        ("VIGIA_REDIS_URL", "redis://"),
        ("VIGIA_REDIS_URL", "redis://a:1,b:x"),
        ("VIGIA_KAFKA_SECURITY_CA_FILE", "/nowhere/ca.pem"),
        ("VIGIA_KAFKA_SECURITY_CERT_FILE", "/nowhere/cert.pem"),
        ("VIGIA_KAFKA_SECURITY_KEY_FILE", "/nowhere/key.pem"),
        ("VIGIA_STATE_ON_EMPTY", "guess"),
        ("VIGIA_GROUP_ID", ""),
        ("VIGIA_TOPIC_PREFIX", "pix/"),
        ("VIGIA_TOPIC_RETENTION_DAYS", "0"),
        ("VIGIA_HTTP_PORT", "65536"),
        ("VIGIA_BATCH_MAX", "many"),
        ("VIGIA_COMMIT_SECONDS", "-1"),
    ],
)
def test_a_wrong_one_is_named_with_what_it_should_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name}: ")
    # An address may carry a password, so it is not repeated.
    assert (repr(value) in str(caught.value)) == (name != "VIGIA_REDIS_URL")
    assert "should" in str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIA_KAFKA_SECURITY_PASSWORD", "hunter2")
    assert "hunter2" not in repr(load_settings())


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://u:p@h:1/2", "unix:///tmp/r.sock", "redis://a:1,b:2/0"]
)
def test_addresses_of_redis(url: str) -> None:
    assert load_settings(redis_url=url).redis_url == url


@pytest.mark.parametrize("missing", ["username", "password"])
def test_sasl_needs_both_of_its_names(missing: str) -> None:
    given = {"kafka_security_username": "u", "kafka_security_password": "p"}
    del given[f"kafka_security_{missing}"]
    with pytest.raises(BadInput, match=f"^VIGIA_KAFKA_SECURITY_{missing.upper()}: it should be set, for"):
        load_settings(kafka_security_protocol="SASL_SSL", **given)


def test_sasl_and_tls_reach_the_client(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    settings = load_settings(
        kafka_security_protocol="SASL_SSL",
        kafka_security_username="u",
        kafka_security_password="p",  # noqa: S106
        kafka_security_ca_file=tmp_path / "ca.pem",
    )
    assert settings.kafka_client_config() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "log_level": 2,
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": "p",
    }


def test_the_page_has_every_setting_with_its_default_and_no_other() -> None:
    rows = [
        line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    told = {row[1].strip(" `"): row[2].strip(" `") for row in rows}
    assert told == {variable(name): shown(field.default) for name, field in Settings.model_fields.items()}


def shown(default: object) -> str:
    return "none" if default is None else str(default)
