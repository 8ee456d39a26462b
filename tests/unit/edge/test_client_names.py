"""What clients are called in metrics before the first of them has come."""

from __future__ import annotations

import pytest

from services.edge import metrics
from services.edge.http_formats import FORMATS
from services.edge.metrics import PLAYING, clients_of


@pytest.mark.parametrize(("listener", "is_secure"), [("http", False), ("https", True)])
def test_players_of_each_format_are_called_as_their_sessions_are(listener: str, is_secure: bool) -> None:
    sessions = [form.protocol(is_socket=is_socket, is_secure=is_secure) for is_socket in (False, True) for form in FORMATS]
    assert sorted(PLAYING[listener]) == sorted(sessions)
    assert {(protocol, "player") for protocol in sessions} <= set(clients_of(listener))


def test_there_are_as_many_formats() -> None:
    assert tuple(form.name for form in FORMATS) == metrics.FORMATS
