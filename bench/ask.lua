-- What wrk asks for: the URL that it was given, again and again; after `-- blocking` that of the playlist that comes next, first
-- the given one (draft-pantos-hls-rfc8216bis §6.2.5.2). After `-- blocking FILE` each request has a session id that FILE has a line
-- of, in turn. What it was answered is one line of JSON in the end.

local path, seen
local ids, at = {}, 0

-- The request for a playlist with one part more than `body` lists. All connections wait for the same one.
local function following(body)
   local number, parts = tonumber(body:match("#EXT%-X%-MEDIA%-SEQUENCE:(%d+)")), 0
   for line in body:gmatch("[^\n]+") do
      if line:find("#EXTINF:", 1, true) == 1 then
         number, parts = number + 1, 0
      elseif line:find("#EXT-X-PART:", 1, true) == 1 then
         parts = parts + 1
      end
   end
   return string.format("%s?_HLS_msn=%.0f&_HLS_part=%d", path, number, parts)
end

local function counted(target)
   if #ids == 0 then
      return target
   end
   at = at % #ids + 1
   return target .. "&session_id=" .. ids[at]
end

function init(args)
   if args[1] ~= "blocking" then
      return
   end
   path = wrk.path:match("^[^?]*")
   if args[2] then
      for id in io.lines(args[2]) do
         ids[#ids + 1] = id
      end
   end
   local asked = wrk.path
   function request()
      return wrk.format("GET", counted(asked))
   end
   function response(status, headers, body)
      if status == 200 and body ~= seen then
         seen, asked = body, following(body)
      end
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   local form = '{"answers": %d, "per_s": %.2f, "bytes": %d, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d}\n'
   local per_s = summary.requests / summary.duration * 1e6
   local p50_ms, p99_ms = latency:percentile(50) / 1000, latency:percentile(99) / 1000
   io.write(string.format(form, summary.requests, per_s, summary.bytes, p50_ms, p99_ms, failed))
end
