"""How lal is controlled, as keys here: API, logs."""

from __future__ import annotations

from lalmesh.runtime.config.lal._file import LalFile
from lalmesh.runtime.config.lal._listeners import listen_at
from lalmesh.runtime.config.lal._made import Made
from lalmesh.runtime.config.lal._rows_control import AUTH_SWITCHES, EVENTS
from lalmesh.runtime.relay_rules import static_push_url

_LEVELS = ("debug", "info", "info", "warning", "error", "error", "error", "error")


def api(lal: LalFile, made: Made) -> None:
    """Where the API listens. It belongs to the scheduler, so it is never quite off."""
    if lal.flag("http_api.enable"):
        listen_at(lal, made, "http_api.addr", "scheduler.http")
    else:
        made.put("scheduler.http.host", "127.0.0.1")


def relays(lal: LalFile, made: Made) -> None:
    """What is sent to other servers, and fetched from one."""
    if lal.flag("relay_push.enable") and lal.texts("relay_push.addr_list"):
        targets = " ".join(map(static_push_url, lal.texts("relay_push.addr_list")))
        made.put("relay.pushes", [f"* {targets}"])
    if lal.flag("static_relay_pull.enable") and lal.text("static_relay_pull.addr"):
        made.put("relay.static_pull", lal.text("static_relay_pull.addr"))


def notify(lal: LalFile, made: Made) -> None:
    """Who is told of events."""
    if "server_id" in lal.given:
        made.put("notify.server_id", lal.text("server_id"))
    if not lal.flag("http_notify.enable"):
        return
    key = "http_notify.update_interval_sec"
    made.number(key, "notify.update_interval_s", lal.number(key))
    for event in EVENTS:
        url = lal.text(f"http_notify.{event}")
        if url and not url.startswith(("http://", "https://")):
            made.remark(f"http_notify.{event}", "No http or https URL, so nobody is told.")
        elif url:
            made.put(f"notify.lal.{event}", url)
    made.fixed("notify.raw_query", True, "Events carry the queries of clients as they are, with tokens in them.")


def auth(lal: LalFile, made: Made) -> None:
    """Who needs lal's secret."""
    on = [switch for switch in AUTH_SWITCHES if lal.flag(f"simple_auth.{switch}")]
    if not on:
        return
    secrets = {
        "auth.lal_secret.key": lal.text("simple_auth.key"),
        "auth.lal_secret.master_secret": lal.text("simple_auth.dangerous_lal_secret"),
    }
    for path, secret in secrets.items():
        if secret:
            made.put(path, secret)
    method = "lal_secret" if any(secrets.values()) else "deny"
    made.rules(f"{AUTH_SWITCHES[switch][0]}:{AUTH_SWITCHES[switch][1]} * {method}" for switch in on)
    if method == "deny":
        for switch in on:
            made.remark(f"simple_auth.{switch}", "There is no key, so NOBODY is let in: lal took the MD5 of the name alone.")


def log(lal: LalFile, made: Made) -> None:
    """Level and place of the log."""
    level = lal.number("log.level")
    made.put("telemetry.log_level", _LEVELS[min(max(level, 0), len(_LEVELS) - 1)])
    if not lal.flag("log.is_to_stdout") and lal.text("log.filename"):
        made.put("telemetry.log_file", lal.text("log.filename"))
