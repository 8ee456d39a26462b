"""What the console of a standalone server is likely to be opened by."""

from __future__ import annotations

from lalmesh.runtime.config import Config
from services.standalone.settings import own_pages


def test_the_console_is_opened_by_names_of_this_machine_and_the_one_that_it_tells_others() -> None:
    config = Config.model_validate({"edge": {"advertise": {"host": "2001:db8::7"}}})
    pages = own_pages(config, 8083)
    assert {"http://localhost:8083", "http://127.0.0.1:8083", "http://[::1]:8083", "http://[2001:db8::7]:8083"} <= set(pages)


def test_a_browser_leaves_the_usual_port_out() -> None:
    assert "http://localhost" in own_pages(Config.model_validate({}), 80)
    assert "http://localhost:443" in own_pages(Config.model_validate({}), 443)
