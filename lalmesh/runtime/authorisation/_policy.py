"""The decision: addresses first, then the methods of the first rule that matches, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lalmesh.runtime.authorisation._request import Action, Family, Request
from lalmesh.runtime.authorisation._rules import MethodName, Rule
from lalmesh.runtime.authorisation._verdict import Allowed, Answers, Ask, Method, NotThis, Reason, Refused, Verdict
from lalmesh.runtime.networks import Networks

RETRY_AFTER_S = 2.0  #: where whoever has to be asked does not answer


@dataclass(slots=True, frozen=True)
class AddressList:
    """Who may come from where. What is denied is denied; where some are allowed, all others are denied."""

    allowed: Networks = field(default_factory=lambda: Networks(()))
    denied: Networks = field(default_factory=lambda: Networks(()))

    def lets_in(self, address: str) -> bool:
        """Whether a client from `address` may ask at all."""
        return address not in self.denied and (not self.allowed or address in self.allowed)

    @property
    def refuses_some(self) -> bool:
        """Whether anybody is refused for where he comes from."""
        return bool(self.allowed) or bool(self.denied)


_EVERYWHERE = AddressList()


class Policy:
    """Who may do what. Without rules and lists anybody may do anything."""

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        methods: Mapping[MethodName, Method] | None = None,
        *,
        addresses: Mapping[Action, AddressList] | None = None,
        is_open_otherwise: bool = True,
    ) -> None:
        """Decide by `rules`.

        Args:
            rules: the first that matches counts.
            methods: those that rules name.
            addresses: by action, asked before all else.
            is_open_otherwise: what holds where no rule matches.
        """
        self._rules = tuple(rules)
        self._methods = dict(methods or {})
        self._addresses = dict(addresses or {})
        self._is_open_otherwise = is_open_otherwise
        self._guarded: dict[frozenset[Family], bool] = {}  # what was asked: it is with every request for HLS, and does not change

    def guards(self, families: frozenset[Family]) -> bool:
        """Whether anybody who plays by one of `families` could be refused."""
        found = self._guarded.get(families)
        if found is None:
            found = self._guarded[families] = self._could_refuse(families)
        return found

    def _could_refuse(self, families: frozenset[Family]) -> bool:
        if not self._is_open_otherwise or self._addresses.get(Action.PLAY, _EVERYWHERE).refuses_some:
            return True
        about = (rule for rule in self._rules if Action.PLAY in rule.actions and rule.families & families)
        return any(rule.methods != (MethodName.OPEN,) for rule in about)

    def is_open_for(self, request: Request) -> bool:
        """Whether `request` needs to show nothing."""
        rule = self._rule_of(request)
        return self._is_open_otherwise if rule is None else rule.methods == (MethodName.OPEN,)

    def _rule_of(self, request: Request) -> Rule | None:
        return next((rule for rule in self._rules if rule.matches(request)), None)

    def decide(self, request: Request, now_s: float, answers: Answers) -> Verdict:
        """What becomes of `request` at `now_s` (Unix seconds), knowing `answers` to what was asked about it."""
        rule = self._rule_of(request)
        return self._settled(request, rule) or self._ask(request, now_s, answers, rule.methods if rule is not None else ())

    def is_settled(self, request: Request) -> bool:
        """Whether it makes no difference what `request` shows."""
        return self._settled(request, self._rule_of(request)) is not None

    def _settled(self, request: Request, rule: Rule | None) -> Allowed | Refused | None:
        """What comes of its address and `rule` alone; None where it has to show something."""
        if not self._addresses.get(request.action, _EVERYWHERE).lets_in(request.address):
            return Refused(reason=Reason.FORBIDDEN, detail="the address")
        if rule is None:
            return Allowed("no rule") if self._is_open_otherwise else Refused(reason=Reason.FORBIDDEN, detail="no rule")
        match rule.methods:
            case (MethodName.OPEN,):
                return Allowed("open")
            case (MethodName.DENY,):
                return Refused(reason=Reason.FORBIDDEN, detail="the rule")
            case _:
                return None

    def _ask(self, request: Request, now_s: float, answers: Answers, names: Sequence[MethodName]) -> Verdict:
        """Whether one of the methods lets it in. All others are asked before a question goes out that takes time."""
        said: list[NotThis] = []
        question: Ask | None = None
        for name in names:
            match self._methods[name].judge(request, now_s, answers):
                case Allowed() as allowed:
                    return allowed
                case Ask() as asked:
                    question = question or asked
                case NotThis() as not_this:
                    said.append(not_this)
        return question or _refused(said, names)


def _refused(said: Sequence[NotThis], names: Sequence[MethodName]) -> Refused:
    if any(one.is_unanswered for one in said):
        return Refused(reason=Reason.UNAVAILABLE, detail=_details(said), retry_after_s=RETRY_AFTER_S)
    takes_tokens = MethodName.JWT in names or MethodName.CALLBACK in names
    return Refused(
        reason=Reason.UNAUTHORISED,
        detail=_details(said),
        asks_login=MethodName.PASSWORD in names,
        asks_basic=takes_tokens,
        is_stale=any(one.is_stale for one in said),
        was_shown=any(one.was_shown for one in said),
    )


def _details(said: Sequence[NotThis]) -> str:
    return "; ".join(one.detail for one in said)
