"""What Redis runs for the session directory, and how a session is written there.

A session is a hash of short names: ``x`` its keys, ``a`` what seldom changes (a JSON list), ``n`` the node that saw it last, ``t``
and ``o`` Unix microseconds of the last touch and of its beginning, ``s`` and ``r`` bytes sent and received, ``S`` and ``R`` bits a
second, ``q`` bytes that wait, ``k`` skips, ``f`` milliseconds to the first media. It outlives its time to live, as what sweeps it
has to know its keys; where nobody sweeps for `ORPHANED_MS`, it goes by itself.
"""

from __future__ import annotations

import json

from lalmesh.runtime.sessions import Session, SessionRole, SessionTouch
from services.scheduler.sessions._names import keys_of, member_of, split_member
from services.scheduler.sessions._settings import LEAST_RATE_US

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode  # made once: each is dearer than what it writes

ORPHANED_MS = 86_400_000  #: a day without any scheduler

_FORGET = """
local function forget(member)
    local key = PREFIX .. member
    local keys = redis.call('HGET', key, 'x')
    if keys then
        for each in string.gmatch(keys, '%S+') do
            redis.call('ZREM', KEYS[2], each .. ' ' .. member)
        end
        redis.call('DEL', key)
    end
    redis.call('ZREM', KEYS[1], member)
end
"""

#: Forget what has ended. KEYS: ends, index. ARGV: what hashes begin with, how many at most. Returns how many.
SWEEP = f"""
local PREFIX = ARGV[1]
local time = redis.call('TIME')
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000 + math.floor(time[2] / 1000), 'LIMIT', 0, ARGV[2])
if #over == 0 then return 0 end
{_FORGET}
for _, member in ipairs(over) do forget(member) end
return #over
"""

#: Forget sessions. KEYS: ends, index. ARGV: what hashes begin with; then their names.
DROP = f"""
local PREFIX = ARGV[1]
{_FORGET}
for i = 2, #ARGV do forget(ARGV[i]) end
"""

#: Take sessions in, with three commands for one that is known. Commands sent from here would cost twenty times the processor time.
#: KEYS: ends, index. ARGV: what hashes begin with, time to live in ms, node; then of each what `arguments_of` gives.
TOUCH = f"""
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = string.format('%.0f', now_us)
local ends = string.format('%.0f', math.floor(now_us / 1000) + ARGV[2])
local function whole(number) return string.format('%.0f', number) end
local scores = {{}}
for i = 4, #ARGV, 11 do
    local member, keys = ARGV[i], ARGV[i + 1]
    local key = ARGV[1] .. member
    local was = redis.call('HMGET', key, 'x', 't', 's', 'r', 'S', 'R')
    local sent, received, sent_bps, received_bps = ARGV[i + 5], ARGV[i + 6], '0', '0'
    if was[1] then
        if ARGV[i + 4] == '0' then
            sent, received = whole(was[3] + sent), whole(was[4] + received)
        end
        local lasted = now_us - was[2]
        sent_bps, received_bps = was[5], was[6]
        if lasted >= {LEAST_RATE_US} then
            sent_bps = whole(math.floor(math.max(0, sent - was[3]) * 8000000 / lasted))
            received_bps = whole(math.floor(math.max(0, received - was[4]) * 8000000 / lasted))
        end
    end
    if was[1] ~= keys then
        if was[1] then
            for each in string.gmatch(was[1], '%S+') do redis.call('ZREM', KEYS[2], each .. ' ' .. member) end
        end
        for each in string.gmatch(keys, '%S+') do redis.call('ZADD', KEYS[2], 0, each .. ' ' .. member) end
    end
    if not was[1] or ARGV[i + 3] == '0' then
        local opened = ARGV[i + 10]
        local known = redis.call('HGET', key, 'o')
        if known and (opened == '0' or tonumber(known) < tonumber(opened)) then opened = known end
        if opened == '0' then opened = now end
        redis.call('HSET', key, 'x', keys, 'a', ARGV[i + 2], 'o', opened, 'n', ARGV[3], 't', now, 's', sent, 'r', received,
            'S', sent_bps, 'R', received_bps, 'q', ARGV[i + 7], 'k', ARGV[i + 8], 'f', ARGV[i + 9])
    else
        redis.call('HSET', key, 'x', keys, 'n', ARGV[3], 't', now, 's', sent, 'r', received,
            'S', sent_bps, 'R', received_bps, 'q', ARGV[i + 7], 'k', ARGV[i + 8], 'f', ARGV[i + 9])
    end
    redis.call('PEXPIRE', key, ARGV[2] + {ORPHANED_MS})
    scores[#scores + 1] = ends
    scores[#scores + 1] = member
end
if #scores > 0 then redis.call('ZADD', KEYS[1], unpack(scores)) end
"""


def arguments_of(touch: SessionTouch, node: str) -> list[str | int]:
    """What `TOUCH` is told of a session."""
    about = [touch.protocol, touch.role.value, touch.peer, touch.url, touch.query, touch.user_agent, touch.codecs]
    return [
        member_of(touch.stream, touch.id),
        " ".join(keys_of(touch, node)),
        _encode(about),
        int(touch.is_brief),
        int(touch.is_total),
        touch.sent_bytes,
        touch.received_bytes,
        touch.queued_bytes,
        touch.skips,
        touch.first_media_ms,
        touch.opened_us,
    ]


def session_of(member: str, value: dict[str, str]) -> Session:
    """A session as its hash has it."""
    stream, session_id = split_member(member)
    protocol, role, peer, url, query, user_agent, codecs = json.loads(value["a"])
    return Session(
        id=session_id,
        stream=stream,
        protocol=protocol,
        role=SessionRole(role),
        node=value["n"],
        peer=peer,
        sent_bytes=int(value["s"]),
        received_bytes=int(value["r"]),
        sent_bps=int(value["S"]),
        received_bps=int(value["R"]),
        opened_us=int(value["o"]),
        seen_us=int(value["t"]),
        url=url,
        query=query,
        user_agent=user_agent,
        codecs=tuple(codecs),
        queued_bytes=int(value["q"]),
        skips=int(value["k"]),
        first_media_ms=int(value["f"]),
    )
