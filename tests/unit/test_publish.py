"""Publishing without a broker: one clear error, soon, before anything is read."""

import pytest

from features.errors import VigiaError
from stream import publish as module
from stream.publish import publish


def test_no_broker_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(module, "BROKER_TIMEOUT_S", 0.3)
    with pytest.raises(VigiaError, match=r"no Kafka broker answers at 127\.0\.0\.1:1 .*vigia up") as caught:
        publish(iter([]), config={"bootstrap.servers": "127.0.0.1:1"})
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
