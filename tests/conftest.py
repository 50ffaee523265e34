"""What all tests share: a real Kafka and a real Redis, and how long hypothesis searches.

The services come from ``deploy.local``, or from testcontainers where it is installed and a Docker engine
answers. They are started when the first test asks for them and ended with the session.
"""

import os

# Before LightGBM is imported: its waiting threads would spin on the cores that Kafka and Redis need.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import signal
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest
import redis

from deploy.local import private_redis, start_kafka

from .redis_cluster import RedisCluster, running_cluster
from .small_model import small_model

hypothesis.settings.register_profile("dev", max_examples=100, deadline=None)
# 2,000 examples of three properties took 97, 55 and 37 s of the ten minutes that all tests may take.
hypothesis.settings.register_profile("ci", max_examples=500, deadline=None, print_blob=True)
hypothesis.settings.register_profile("fuzz", max_examples=5000, deadline=None, print_blob=True)
_by_place = "ci" if os.environ.get("CI", "").lower() in {"1", "true"} else "dev"
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or _by_place)


def pytest_configure() -> None:
    # a run that is told to end (SIGTERM, as `timeout` sends it) still ends what its fixtures started
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # and one in the background of a shell (`make test &`) does not hand on that it ignores Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a real Redis that only this test session uses."""
    if _docker_answers():
        from testcontainers.redis import RedisContainer  # type: ignore[import-not-found,unused-ignore]

        with RedisContainer("redis:7-alpine") as container:
            yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
    else:
        with private_redis() as url:
            yield url


@pytest.fixture
def redis_flushed(redis_url: str) -> str:
    """The URL of a real Redis that is empty when the test begins."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


@pytest.fixture(scope="session")
def _redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster(_redis_cluster: RedisCluster) -> RedisCluster:
    """A real cluster of this session's own, empty and whole when the test begins."""
    _redis_cluster.mend()
    _redis_cluster.flush()
    return _redis_cluster


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Kafka that only this test session uses; tests name their topics apart."""
    if _docker_answers():
        from testcontainers.kafka import KafkaContainer  # type: ignore[import-not-found,unused-ignore]

        with KafkaContainer().with_kraft() as container:
            yield container.get_bootstrap_server()
    else:
        service = start_kafka(tmp_path_factory.mktemp("kafka"))
        try:
            yield service.address
        finally:
            service.kill()  # its data are of no use to anyone


@cache
def _docker_answers() -> bool:
    if find_spec("testcontainers") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real model on the real catalog."""
    return small_model(tmp_path_factory.mktemp("models") / "pix-fraud")
