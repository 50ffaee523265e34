"""The files that build and deploy, read as data: no Docker engine is needed, and none has run them here."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.redis import KEPT

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
LOCKS = ["requirements.lock", "requirements-worker.lock"]


def pins(lock: str) -> dict[str, str]:
    """Package to version, of one lock."""
    lines = (ROOT / lock).read_text().splitlines()
    found = (re.match(r"([a-z0-9._-]+)==(\S+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def copied(file: Path) -> list[Path]:
    """What a Dockerfile copies of this repository."""
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", file.read_text(), re.MULTILINE)
    return [ROOT / source for copy in copies for source in copy.split()]


def test_compose_has_kafka_redis_and_the_worker() -> None:
    assert set(COMPOSE["services"]) == {"kafka", "redis", "worker"}


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_service_says_whether_it_is_healthy(name: str) -> None:
    check = COMPOSE["services"][name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries"} <= set(check)


def test_the_worker_waits_until_both_are_healthy() -> None:
    waits = COMPOSE["services"]["worker"]["depends_on"]
    assert {name: how["condition"] for name, how in waits.items()} == {
        "kafka": "service_healthy",
        "redis": "service_healthy",
    }


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE["services"][name]["ports"])


def test_data_live_in_named_volumes() -> None:
    used = {
        volume.partition(":")[0]
        for service in ("kafka", "redis")
        for volume in COMPOSE["services"][service]["volumes"]
    }
    assert used == set(COMPOSE["volumes"])


def test_redis_never_evicts_and_keeps_every_write() -> None:
    command = " ".join(COMPOSE["services"]["redis"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command
    assert [name for name, value in KEPT.items() if f"--{name} {value}" not in command] == []


def test_the_build_of_each_image_is_there() -> None:
    builds = [service["build"] for service in COMPOSE["services"].values() if "build" in service]
    assert builds
    assert all((ROOT / build["dockerfile"]).is_file() for build in builds)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_is_not_root_has_a_health_check_and_hashed_packages(file: Path) -> None:
    text = file.read_text()
    assert text.rindex("\nUSER ") > text.rindex("\nFROM ")
    assert "\nHEALTHCHECK " in text
    assert "--require-hashes" in text


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_copies_what_is_there(file: Path) -> None:
    assert copied(file)
    assert [str(source) for source in copied(file) if not source.exists()] == []


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_copies_every_module(file: Path) -> None:
    places = copied(file)
    packages = ("features", "models", "stream", "deploy")
    modules = [module for package in packages for module in (ROOT / package).rglob("*.py")]
    assert [str(m) for m in modules if not any(m == place or place in m.parents for place in places)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_hashed_and_names_no_registry_and_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert pins(lock)
    assert "://" not in text
    assert "--index" not in text
    requirements = re.findall(r"^[a-z0-9].*(?:\n +--hash=.*)*", text, re.MULTILINE)
    assert [requirement for requirement in requirements if "--hash=sha256:" not in requirement] == []


def test_the_worker_gets_the_versions_that_were_tested() -> None:
    tested = pins("requirements.lock")
    assert {name: tested.get(name) for name in pins("requirements-worker.lock")} == pins(
        "requirements-worker.lock"
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_every_dependency_of_the_core(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[<>=~!]", wish)[0] for wish in project["dependencies"]}
    assert names <= set(pins(lock))


def test_every_folder_with_code_is_a_package_that_gets_installed() -> None:
    homes = {
        file.parent
        for package in ("features", "models", "stream", "deploy")
        for file in (ROOT / package).rglob("*.py")
    }
    assert sorted(str(home) for home in homes if not (home / "__init__.py").exists()) == []


@pytest.mark.parametrize("target", ["help", "setup", "up", "down", "demo", "test", "check", "bench"])
def test_make_help_says_what_each_target_does(target: str) -> None:
    assert re.search(rf"^{target}:.*## \S", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_ci_runs_the_same_as_make_check() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-1] == "exec make --no-print-directory check"
