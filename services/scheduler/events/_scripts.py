"""What Redis does for the log in one go, so that a scheduler which dies in the middle leaves nothing half done."""

#: Events that one script takes in: 2 to 3 ms of the server.
MAX_APPENDED = 100

ONCE_MS = 3_600_000  #: an id that several schedulers tell of is known so long
TOLD_MS = 86_400_000  #: what a node has told is known so long after it told last
LOOKED_AT = 8  #: events at the beginning of a shard that are looked at in one go for where to cut it

#: Keep events; gives how many older ones went for them. ARGV: prefix, events and bytes of a shard; then of each event: shard, id,
#: incarnation and number (empty: its id is kept instead), part and sign of a session ("+" begins, "-" ends, "?" ends if it is
#: known), stream, session, text, text of the first or last viewer.
APPEND = (
    """
local prefix, most, most_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.call('GET', prefix .. 'clock') or '0')
if now <= last then now = last else redis.call('SET', prefix .. 'clock', string.format('%.0f', now)) end

local firsts = {}  -- by shard: the number of the first event that it had, or now has

local function fact(entry, name)
    for i = 1, #entry[2], 2 do
        if entry[2][i] == name then return tonumber(entry[2][i + 1]) end
    end
end

local function beginning(shard, count)
    return redis.call('XRANGE', prefix .. 'log:' .. shard, '-', '+', 'COUNT', count)
end

-- Cut what is over the bytes of a shard from its beginning, but for the newest event.
local function cut(shard)
    local all, last = tonumber(redis.call('HGET', prefix .. 'bytes', shard)), redis.call('HGET', prefix .. 'counts', shard)
    local looked_at = 1  -- as nearly always it is not over them
    while true do
        for i, entry in ipairs(beginning(shard, looked_at)) do
            local number, before = fact(entry, 'c'), fact(entry, 'b')
            if not before or all - before <= most_bytes or number == tonumber(last) then
                if i > 1 then redis.call('XTRIM', prefix .. 'log:' .. shard, 'MINID', entry[1]) end
                return number
            end
            if i == looked_at then redis.call('XTRIM', prefix .. 'log:' .. shard, 'MINID', entry[1]) end
        end
        looked_at = LOOKED_AT
    end
end

local function keep(shard, text, state)
    local number = redis.call('INCR', prefix .. 'count')
    local count = redis.call('HINCRBY', prefix .. 'counts', shard, 1)
    local before = redis.call('HINCRBY', prefix .. 'bytes', shard, #text) - #text
    if not firsts[shard] then
        local first = beginning(shard, 1)[1]
        firsts[shard] = first and fact(first, 'c') or count
    end
    redis.call('XADD', prefix .. 'log:' .. shard, 'MAXLEN', '~', most, string.format('%.0f-%.0f', now, number),
        'e', text, 'c', string.format('%.0f', count), 's', state, 'b', string.format('%.0f', before))
end

local function has(part, stream)
    return redis.call('HLEN', prefix .. part .. ':' .. stream)
end

local function is_new(id, node, number)
    if node == '' then return redis.call('SET', prefix .. 'once:' .. id, 1, 'NX', 'PX', ONCE_MS) and true or false end
    local told = redis.call('GET', prefix .. 'told:' .. node)
    if told and tonumber(told) >= tonumber(number) then return false end
    redis.call('SET', prefix .. 'told:' .. node, number, 'PX', TOLD_MS)
    return true
end

local function held(node, field, by)
    if redis.call('HINCRBY', prefix .. 'of:' .. node, field, by) <= 0 then redis.call('HDEL', prefix .. 'of:' .. node, field) end
    if redis.call('HLEN', prefix .. 'of:' .. node) > 0 then redis.call('SADD', prefix .. 'nodes', node)
    else redis.call('SREM', prefix .. 'nodes', node) end
end

for i = 4, #ARGV, 10 do
    local shard, id, node, number, part, sign = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
    local stream, session, text, viewer = ARGV[i + 6], ARGV[i + 7], ARGV[i + 8], ARGV[i + 9]
    if sign == '?' or is_new(id, node, number) then
        local news, at_edge = true, false
        if part ~= '' then
            local key = prefix .. part .. ':' .. stream
            local value = redis.call('HGET', key, session)
            local nodes, start = '', text
            if value then
                local cut = string.find(value, '\\n', 1, true)
                nodes, start = string.sub(value, 1, cut - 1), string.sub(value, cut + 1)
            end
            local there = string.find(nodes, node .. ',', 1, true)
            if sign == '+' then
                news = not value
                if not there or node == '' then
                    redis.call('HSET', key, session, nodes .. node .. ',\\n' .. start)
                    held(node, part .. ' ' .. stream, 1)
                end
                at_edge = news and redis.call('HLEN', key) == 1
            elseif value then
                if there then
                    nodes = string.sub(nodes, 1, there - 1) .. string.sub(nodes, there + #node + 1)
                    held(node, part .. ' ' .. stream, -1)
                end
                news = nodes == '' and (sign == '-' or there)
                if nodes == '' then redis.call('HDEL', key, session)
                else redis.call('HSET', key, session, nodes .. '\\n' .. start) end
                at_edge = news and redis.call('HLEN', key) == 0
            else
                news = sign == '-'
            end
        end
        if news and part == '' then keep(shard, text, '') end
        if news and part ~= '' then
            local ins, outs = has('in', stream), has('out', stream) + has('push', stream)
            keep(shard, text, (ins > 0 and '1' or '0') .. (outs > 0 and '1' or '0'))
            if at_edge and part == 'out' then keep(shard, viewer, '') end
        end
    end
end

local dropped = 0
for shard, first in pairs(firsts) do dropped = dropped + cut(shard) - first end
return dropped
""".replace("ONCE_MS", str(ONCE_MS))
    .replace("TOLD_MS", str(TOLD_MS))
    .replace("LOOKED_AT", str(LOOKED_AT))
)

#: Move a cursor forward. KEYS: the hash of cursors of a shard. ARGV: receiver, ms and number of the position, count.
COMMIT = """
local value = redis.call('HGET', KEYS[1], ARGV[1])
if value then
    local ms, number = string.match(value, '^(%d+)-(%d+)')
    if tonumber(ms) > tonumber(ARGV[2]) or (tonumber(ms) == tonumber(ARGV[2]) and tonumber(number) >= tonumber(ARGV[3])) then
        return 0
    end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '-' .. ARGV[3] .. ' ' .. ARGV[4])
return 1
"""
