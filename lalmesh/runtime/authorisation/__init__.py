"""Who may publish and play: the decision as a pure core, and the shell that asks others where that is needed.

Every protocol brings its requests here before it announces success. `Policy.decide` says yes, no, or whom to ask first; `Access`
asks, counts, and raises `AccessRefused`, which each protocol puts in its own words.
"""

from lalmesh.runtime.authorisation._access import Access, AccessSettings
from lalmesh.runtime.authorisation._callback import Breaker, Callback, CallbackSettings, Remembered, payload_of, question_of
from lalmesh.runtime.authorisation._header import basic_login, bearer_of
from lalmesh.runtime.authorisation._hls import Admitted, HlsAccess, Redirected
from lalmesh.runtime.authorisation._http import HTTP_STATUS, http_challenge
from lalmesh.runtime.authorisation._jwt import ALGORITHMS, Tokens, TokenSettings
from lalmesh.runtime.authorisation._key_fetching import KeySource
from lalmesh.runtime.authorisation._keys import VerifyKey, jwks_keys, pem_keys, secret_key
from lalmesh.runtime.authorisation._lal_secret import LalSecret, lal_secret_of
from lalmesh.runtime.authorisation._limits import MAX_LIMITS, AppLimit, AppLimits, Usage, limit_of, parse_limit
from lalmesh.runtime.authorisation._metrics import AccessMetrics
from lalmesh.runtime.authorisation._passes import (
    CLIENT_HEADER,
    COUNTED_HEADER,
    EDGE_HEADER,
    PASS_PARAMETER,
    EdgeHeaders,
    FromEdge,
    Passes,
    derived_keys,
)
from lalmesh.runtime.authorisation._password import Passwords, PlainLogin
from lalmesh.runtime.authorisation._policy import AddressList, Policy
from lalmesh.runtime.authorisation._query import fields_of
from lalmesh.runtime.authorisation._request import Action, Family, Login, LoginCheck, Request, family_of
from lalmesh.runtime.authorisation._rules import MAX_RULES, MethodName, Rule, parse_rule
from lalmesh.runtime.authorisation._signed import SignedUrls, sign, signed_query
from lalmesh.runtime.authorisation._verdict import (
    AccessRefused,
    Allowed,
    Answer,
    Answers,
    Ask,
    CallbackQuestion,
    KeysQuestion,
    Method,
    NotThis,
    Reason,
    Refused,
)

__all__ = [
    "ALGORITHMS",
    "CLIENT_HEADER",
    "COUNTED_HEADER",
    "EDGE_HEADER",
    "HTTP_STATUS",
    "MAX_LIMITS",
    "MAX_RULES",
    "PASS_PARAMETER",
    "Access",
    "AccessMetrics",
    "AccessRefused",
    "AccessSettings",
    "Action",
    "AddressList",
    "Admitted",
    "Allowed",
    "Answer",
    "Answers",
    "AppLimit",
    "AppLimits",
    "Ask",
    "Breaker",
    "Callback",
    "CallbackQuestion",
    "CallbackSettings",
    "EdgeHeaders",
    "Family",
    "FromEdge",
    "HlsAccess",
    "KeySource",
    "KeysQuestion",
    "LalSecret",
    "Login",
    "LoginCheck",
    "Method",
    "MethodName",
    "NotThis",
    "Passes",
    "Passwords",
    "PlainLogin",
    "Policy",
    "Reason",
    "Redirected",
    "Refused",
    "Remembered",
    "Request",
    "Rule",
    "SignedUrls",
    "TokenSettings",
    "Tokens",
    "Usage",
    "VerifyKey",
    "basic_login",
    "bearer_of",
    "derived_keys",
    "family_of",
    "fields_of",
    "http_challenge",
    "jwks_keys",
    "lal_secret_of",
    "limit_of",
    "parse_limit",
    "parse_rule",
    "payload_of",
    "pem_keys",
    "question_of",
    "secret_key",
    "sign",
    "signed_query",
]
