"""The section `auth`: who may publish and play."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from lalmesh.runtime.authorisation import MAX_LIMITS, MAX_RULES, MethodName, parse_limit, parse_rule
from lalmesh.runtime.config._base import Allowed, ConfigModel, Network, Text, live_keys
from lalmesh.runtime.config._rtsp import Users

MAX_NETWORKS = 1000  #: of one list: each is looked at for every request
MIN_SIGNING_CHARS = 16  #: a shorter key can be tried out
MIN_JWT_SECRET_BYTES = 32  #: RFC 7518 §3.2


def _rule(text: str) -> str:
    parse_rule(text)
    return text


def _limit(text: str) -> str:
    parse_limit(text)
    return text


def keys_of(secret: SecretStr) -> dict[str, bytes]:
    """Signing keys by name.

    Raises:
        ValueError: an entry without a name, or with a key that is too short; its text is not in the message.
    """
    keys: dict[str, bytes] = {}
    for index, entry in enumerate(secret.get_secret_value().split()):
        name, colon, key = entry.partition(":")
        if not (name and colon) or len(key) < MIN_SIGNING_CHARS:
            raise ValueError(f"key {index + 1} is not NAME:KEY with a key of at least {MIN_SIGNING_CHARS} characters")
        keys[name] = key.encode()
    return keys


def _signing_keys(secret: SecretStr) -> SecretStr:
    keys_of(secret)
    return secret


def _jwt_secret(secret: SecretStr) -> SecretStr:
    size = len(secret.get_secret_value().encode())
    if 0 < size < MIN_JWT_SECRET_BYTES:
        raise ValueError(f"{size} bytes, at least {MIN_JWT_SECRET_BYTES} are needed")
    return secret


RuleText = Annotated[str, AfterValidator(_rule), Allowed("ACTION[:PROTOCOL|PROTOCOL...] PATTERN METHOD [METHOD...]")]
LimitText = Annotated[str, AfterValidator(_limit), Allowed("APP [publishers=N] [players=N] [egress_bps=N]")]
SigningKeys = Annotated[
    SecretStr,
    AfterValidator(_signing_keys),
    Allowed("NAME:KEY, several with blanks or line ends between, keys of 16 characters and up"),
]
JwtSecret = Annotated[SecretStr, AfterValidator(_jwt_secret), Allowed("a secret of at least 32 bytes")]
HttpUrl = Annotated[
    str, StringConstraints(max_length=4096, pattern=r"^(https?://[^\s]+)?$"), Allowed("an http or https URL, or nothing")
]
Algorithm = Annotated[str, StringConstraints(pattern="^(HS256|RS256|ES256)$"), Allowed("HS256, RS256 or ES256")]


class LalSecretConfig(ConfigModel):
    """The method lal_secret: lal's MD5 of key and stream name, which never expires. For those who come from lal."""

    live = live_keys("key key_file master_secret master_secret_file")

    key: SecretStr = Field(default=SecretStr(""), description="lal's simple_auth.key; empty: only master_secret is taken.")
    key_file: Text = Field(default="", description="File that holds key.")
    master_secret: SecretStr = Field(
        default=SecretStr(""), description="lal's dangerous_lal_secret: good for every stream, as it is written; empty: none."
    )
    master_secret_file: Text = Field(default="", description="File that holds master_secret.")


class SignedConfig(ConfigModel):
    """The method signed: URLs with an expiry, signed by HMAC-SHA256. `lalmesh sign-url` makes them."""

    live = live_keys("keys keys_file")

    keys: SigningKeys = Field(default=SecretStr(""), description="Keys by name; while they are changed, the old one and the new.")
    keys_file: Text = Field(default="", description="File that holds keys.")


class JwtConfig(ConfigModel):
    """The method jwt: JSON Web Tokens with the claims action, app and name."""

    live = live_keys("algorithms secret secret_file public_key_file audience issuer leeway_s require_expiry")

    algorithms: tuple[Algorithm, ...] = Field(
        default=("HS256", "RS256", "ES256"), strict=False, min_length=1, max_length=3, description="What tokens may be signed by."
    )
    secret: JwtSecret = Field(default=SecretStr(""), description="Secret of HS256; empty: none.")
    secret_file: Text = Field(default="", description="File that holds secret.")
    public_key_file: Text = Field(default="", description="PEM file of public keys, RSA or P-256.")
    jwks_file: Text = Field(default="", description="File with a key set (RFC 7517), read again every jwks_refresh_s.")
    jwks_url: HttpUrl = Field(default="", description="URL of a key set, fetched every jwks_refresh_s and for keys that are new.")
    jwks_refresh_s: float = Field(default=300.0, ge=5, le=86_400, description="How often the key set is fetched.")
    audience: Text = Field(default="", description="What the claim aud has to name; empty: anything.")
    issuer: Text = Field(default="", description="What the claim iss has to be; empty: anything.")
    leeway_s: float = Field(default=5.0, ge=0, le=600, description="How far clocks may differ.")
    require_expiry: bool = Field(default=True, description="Whether a token needs the claim exp.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.jwks_file and self.jwks_url:
            raise ValueError("jwks_file and jwks_url are two places for one thing, give one")
        return self


class PasswordConfig(ConfigModel):
    """The method password: Basic and Digest over RTSP, Basic over HTTP, user and pass in the query of any URL."""

    live = live_keys("publish_users publish_users_file play_users play_users_file")

    publish_users: Users = Field(default=SecretStr(""), description="Who may publish.")
    publish_users_file: Text = Field(default="", description="File that holds publish_users.")
    play_users: Users = Field(default=SecretStr(""), description="Who may play.")
    play_users_file: Text = Field(default="", description="File that holds play_users.")


class CallbackConfig(ConfigModel):
    """The method callback: an HTTP server is asked, with MediaMTX's payload. 2xx lets in, 4xx refuses, all else is no answer."""

    live = live_keys("on_failure")

    url: HttpUrl = Field(default="", description="What is asked, by POST.")
    ca_file: Text = Field(default="", description="PEM file of the authority that signs its certificate; empty: the system's.")
    timeout_s: float = Field(default=2.0, ge=0.1, le=60, description="Longest wait for an answer.")
    concurrent_num: int = Field(
        default=100, ge=1, le=10_000, description="Questions at a time; more wait for a turn, up to timeout_s."
    )
    yes_s: float = Field(default=5.0, ge=0, le=3600, description="How long a yes is remembered for the same question.")
    no_s: float = Field(default=2.0, ge=0, le=3600, description="How long a no is.")
    on_failure: Literal["deny", "allow"] = Field(
        default="deny", description="What holds where nobody answers: clients are refused (503, try again), or let in."
    )
    failures_num: int = Field(
        default=5, ge=1, le=1000, description="Failures in a row after which it is not asked for a while: no answer at once."
    )
    open_s: float = Field(default=5.0, ge=0.1, le=3600, description="How long it is not asked then.")


class AddressesConfig(ConfigModel):
    """Who may come from where, before all else. What is denied is denied; where some are allowed all others are denied."""

    live = live_keys("publish_allow publish_deny play_allow play_deny")

    publish_allow: tuple[Network, ...] = Field(
        default=(), strict=False, max_length=MAX_NETWORKS, description="Networks that may publish; none: all."
    )
    publish_deny: tuple[Network, ...] = Field(
        default=(), strict=False, max_length=MAX_NETWORKS, description="Networks that may not publish."
    )
    play_allow: tuple[Network, ...] = Field(
        default=(), strict=False, max_length=MAX_NETWORKS, description="Networks that may play; none: all."
    )
    play_deny: tuple[Network, ...] = Field(
        default=(), strict=False, max_length=MAX_NETWORKS, description="Networks that may not play."
    )


class AuthConfig(ConfigModel):
    """Who may publish and play (docs/authorisation.md). Edges and hls nodes need the same. Without rules everybody may."""

    live = live_keys("rules otherwise limits failures_per_minute")

    rules: tuple[RuleText, ...] = Field(
        default=(),
        strict=False,
        max_length=MAX_RULES,
        description="The first that matches counts, and one of its methods has to let the client in. Actions: publish, play, any. "
        "Protocols: rtmp, rtsp, flv, ts, fmp4, hls, record. Methods: " + ", ".join(name.value for name in MethodName) + ".",
    )
    otherwise: Literal["open", "deny"] = Field(default="open", description="What holds where no rule matches.")
    limits: tuple[LimitText, ...] = Field(
        default=(),
        strict=False,
        max_length=MAX_LIMITS,
        description="What the streams of an application may use in the cluster; the first that matches counts. For schedulers too.",
    )
    failures_per_minute: int = Field(
        default=60,
        ge=0,
        le=100_000,
        description="Wrong credentials of one address in a minute; more are answered 429. 0: no limit.",
    )
    hls_pass_s: int = Field(
        default=43_200, ge=60, le=31_536_000, description="How long a player of HLS that was let in may go on with its URLs."
    )
    hls_pass_address: bool = Field(default=True, description="Whether it has to stay at its address for that.")
    lal_secret: LalSecretConfig = LalSecretConfig()
    signed: SignedConfig = SignedConfig()
    jwt: JwtConfig = JwtConfig()
    password: PasswordConfig = PasswordConfig()
    callback: CallbackConfig = CallbackConfig()
    addresses: AddressesConfig = AddressesConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = {name for text in self.rules for name in parse_rule(text).methods}
        jwt = self.jwt
        has_keys = jwt.secret.get_secret_value() or jwt.public_key_file or jwt.jwks_file or jwt.jwks_url
        lal = self.lal_secret
        missing = {
            MethodName.LAL_SECRET: not (lal.key.get_secret_value() or lal.master_secret.get_secret_value()),
            MethodName.SIGNED: not self.signed.keys.get_secret_value(),
            MethodName.JWT: not has_keys,
            MethodName.PASSWORD: not (
                self.password.publish_users.get_secret_value() or self.password.play_users.get_secret_value()
            ),
            MethodName.CALLBACK: not self.callback.url,
        }
        for name, lacks in missing.items():
            if lacks and name in named:
                raise ValueError(f"a rule names {name.value}, and auth.{name.value} has nothing to check with")
        return self
