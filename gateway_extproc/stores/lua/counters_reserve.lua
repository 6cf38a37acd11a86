-- Checks all asks of a reservation, then applies all of them, or none.
-- ARGV: rid, lease, epoch for a store that has none, then for each ask:
--   kind (r, p, s), name, limit (r: capacity), amount (r: cost), flags (1 shadow, 2 settles),
--   and of p: start and end of the window that the caller expects, end of the one after it.
-- Returns granted (0, 1), now, epoch, then of each ask: used (r: how far its TAT runs ahead), held,
-- start, end.  Or -1 and now: the windows are of another time; -2: this rid is open.
local rid, lease = ARGV[1], tonumber(ARGV[2])
local asks, at = {}, 4
while ARGV[at] do
  local ask = {
    kind = ARGV[at], name = ARGV[at + 1], limit = tonumber(ARGV[at + 2]),
    amount = tonumber(ARGV[at + 3]), flags = tonumber(ARGV[at + 4])}
  at = at + 5
  if ask.kind == 'p' then
    ask.start, ask.stop = ARGV[at], ARGV[at + 1]
    if now < tonumber(ask.start) or now >= tonumber(ARGV[at + 2]) then
      return {-1, now}
    end
    if now >= tonumber(ask.stop) then
      ask.start, ask.stop = ask.stop, ARGV[at + 2]
    end
    at = at + 3
  end
  asks[#asks + 1] = ask
end
if redis.call('ZSCORE', base .. 'open', rid) then
  return {-2, now}
end
reap()
local epoch = redis.call('GET', base .. 'epoch')
if not epoch then
  epoch = ARGV[3]
  redis.call('SET', base .. 'epoch', epoch)
end

local answer = {1, now, epoch}
local pending, writes, holds = {}, {}, {}
local registered = false
for _, ask in ipairs(asks) do
  local fits
  if ask.kind == 'r' then
    local key = base .. 'r:' .. ask.name
    local ahead = (pending[key] or tonumber(redis.call('GET', key) or 0)) - now
    ahead = math.min(math.max(ahead, 0), 2 * ask.limit)
    fits = ahead + ask.amount <= ask.limit
    if fits then
      pending[key] = now + ahead + ask.amount
      writes[#writes + 1] = {'r', key, pending[key]}
    end
    answer[#answer + 1] = ahead
    answer[#answer + 1] = 0
    answer[#answer + 1] = 0
    answer[#answer + 1] = 0
  else
    local key = base .. (ask.kind == 'p' and 'p:' .. ask.start .. ':' or 's:') .. ask.name
    local known = pending[key]
    if not known then
      local found = redis.call('HMGET', key, 'u', 'h')
      known = {tonumber(found[1] or 0), tonumber(found[2] or 0)}
      pending[key] = known
    end
    answer[#answer + 1] = known[1]
    answer[#answer + 1] = known[2]
    answer[#answer + 1] = tonumber(ask.start or 0)
    answer[#answer + 1] = tonumber(ask.stop or 0)
    fits = known[1] + known[2] + ask.amount <= ask.limit
    if fits and ask.amount > 0 then
      known[2] = known[2] + ask.amount
      writes[#writes + 1] = {ask.kind, key, ask.amount, ask.stop}
      holds[#holds + 1] = key
      holds[#holds + 1] = ask.amount
    end
  end
  if fits then
    registered = registered or ask.flags >= 2
  elseif ask.flags % 2 == 0 then
    answer[1] = 0
  end
end
if answer[1] == 0 then
  return answer
end
for _, write in ipairs(writes) do
  if write[1] == 'r' then
    local ahead_ms = math.ceil((write[3] - now) / 1000) + 1
    redis.call('SET', write[2], whole(write[3]), 'PX', whole(ahead_ms))
  else
    redis.call('HINCRBY', write[2], 'h', whole(write[3]))
    if write[1] == 'p' then
      redis.call('PEXPIREAT', write[2], whole((tonumber(write[4]) + 2 * DAY) / 1000))
    end
  end
end
if registered or #holds > 0 then
  redis.call('ZADD', base .. 'open', whole(now + lease), rid)
  if #holds > 0 then
    redis.call('HSET', base .. 'items', rid, cmsgpack.pack(holds))
  end
end
return answer
