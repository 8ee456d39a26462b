"""From the configuration to what decides who may publish and play."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lalmesh.runtime.authorisation import (
    AccessSettings,
    Action,
    AddressList,
    AppLimit,
    Callback,
    CallbackSettings,
    KeySource,
    LalSecret,
    Method,
    MethodName,
    Passwords,
    Policy,
    SignedUrls,
    Tokens,
    TokenSettings,
    VerifyKey,
    parse_limit,
    parse_rule,
    pem_keys,
    secret_key,
)
from lalmesh.runtime.config import (
    AddressesConfig,
    AuthConfig,
    CallbackConfig,
    Config,
    ConfigError,
    JwtConfig,
    Problem,
    keys_of,
    users_of,
)
from lalmesh.runtime.networks import Networks

MAX_PEM_BYTES = 1 << 20


def access_settings(config: Config, keys: tuple[bytes, ...]) -> AccessSettings:
    """What an edge or an hls node of the cluster with `keys` decides by.

    Raises:
        ConfigError: a file of public keys cannot be used.
    """
    auth = config.auth
    tokens, methods = _tokens(auth.jwt), _methods(auth)
    methods[MethodName.JWT] = tokens
    policy = Policy(
        [parse_rule(text) for text in auth.rules],
        methods,
        addresses=_addresses(auth.addresses),
        is_open_otherwise=auth.otherwise == "open",
    )
    source = KeySource(url=auth.jwt.jwks_url, file=auth.jwt.jwks_file, refresh_s=auth.jwt.jwks_refresh_s)
    return AccessSettings(
        policy=policy,
        callback=_callback(auth.callback) if auth.callback.url else None,
        tokens=tokens,
        keys=source if source.url or source.file else None,
        failures_per_minute=auth.failures_per_minute,
        limits=app_limits(config),
        cluster_keys=keys,
        hls_pass_s=auth.hls_pass_s,
        hls_pass_address=auth.hls_pass_address,
    )


def app_limits(config: Config) -> tuple[AppLimit, ...]:
    """What edges hold applications to, and schedulers add up."""
    return tuple(map(parse_limit, config.auth.limits))


def _methods(auth: AuthConfig) -> dict[MethodName, Method]:
    lal, password = auth.lal_secret, auth.password
    return {
        MethodName.LAL_SECRET: LalSecret(lal.key.get_secret_value(), lal.master_secret.get_secret_value()),
        MethodName.SIGNED: SignedUrls(keys_of(auth.signed.keys)),
        MethodName.PASSWORD: Passwords(users_of(password.publish_users), users_of(password.play_users)),
        MethodName.CALLBACK: Callback(fail_open=auth.callback.on_failure == "allow"),
    }


def _tokens(jwt: JwtConfig) -> Tokens:
    settings = TokenSettings(
        algorithms=jwt.algorithms,
        audience=jwt.audience,
        issuer=jwt.issuer,
        leeway_s=jwt.leeway_s,
        needs_expiry=jwt.require_expiry,
    )
    return Tokens(settings, _keys(jwt), can_look_for_keys=bool(jwt.jwks_url or jwt.jwks_file))


def _keys(jwt: JwtConfig) -> list[VerifyKey]:
    secret = jwt.secret.get_secret_value()
    keys = [secret_key(secret.encode())] if secret else []
    if jwt.public_key_file:
        try:
            with Path(jwt.public_key_file).open("rb") as file:
                keys += pem_keys(file.read(MAX_PEM_BYTES))
        except (OSError, ValueError) as error:
            raise ConfigError([Problem("auth.jwt.public_key_file", f"{jwt.public_key_file} cannot be used: {error}")]) from None
    return keys


def _callback(callback: CallbackConfig) -> CallbackSettings:
    return CallbackSettings(
        url=callback.url,
        timeout_s=callback.timeout_s,
        concurrent_num=callback.concurrent_num,
        yes_s=callback.yes_s,
        no_s=callback.no_s,
        failures_num=callback.failures_num,
        open_s=callback.open_s,
        ca_file=callback.ca_file,
    )


def _addresses(lists: AddressesConfig) -> Mapping[Action, AddressList]:
    return {
        Action.PUBLISH: AddressList(Networks(lists.publish_allow), Networks(lists.publish_deny)),
        Action.PLAY: AddressList(Networks(lists.play_allow), Networks(lists.play_deny)),
    }
