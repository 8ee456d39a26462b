from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from lalmesh.runtime.config._scheduler import RedisConfig, SchedulerConfig


def test_without_a_host_sessions_are_kept_in_memory() -> None:
    scheduler = SchedulerConfig()
    assert (scheduler.redis.host, scheduler.redis.port, scheduler.redis.prefix) == ("", 6379, "lalmesh:")
    assert (scheduler.session_ttl_s, scheduler.hls_remember_s) == (60, 86_400)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"ca_file": "ca.pem"}, "need tls"),
        ({"tls": True, "cert_file": "c.pem"}, "belong together"),
        ({"username": "u"}, "needs a password"),
        ({"host": "redis", "port": 0}, "needs a port"),
        ({"prefix": "no colon"}, "prefix"),
    ],
)
def test_what_cannot_work_is_refused(keys: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        RedisConfig.model_validate(keys)


def test_a_password_does_not_show() -> None:
    assert "secret" not in repr(RedisConfig(host="redis", password=SecretStr("secret")))
