-- What the scripts of counters share.  All keys of one tag live in one slot (hash tag).
-- KEYS[1]: what every name begins with.  Keys behind it:
--   open     rid -> expiry of each reservation that is not settled
--   items    rid -> what it holds: key, amount, ... (cmsgpack)
--   expired  rid -> when its lease ended unsettled, for a day
--   done:RID a settlement that counted by force, for a day
--   r:NAME   a rate's TAT;  p:START:NAME and s:NAME  fields u (used) and h (held)
-- Times are microseconds; TIME is the only clock.  Numbers stay below 2^53: doubles are exact.
local base = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local DAY = 86400000000

local function whole(number)
  return string.format('%.0f', number)
end

local function release(rid)
  local packed = redis.call('HGET', base .. 'items', rid)
  if not packed then
    return
  end
  redis.call('HDEL', base .. 'items', rid)
  local items = cmsgpack.unpack(packed)
  for i = 1, #items, 2 do
    local key = items[i]
    if redis.call('EXISTS', key) == 1 then
      local held = redis.call('HINCRBY', key, 'h', -items[i + 1])
      if held <= 0 and redis.call('PTTL', key) < 0 then
        redis.call('DEL', key)
      end
    end
  end
end

local function reap()
  local due = redis.call('ZRANGEBYSCORE', base .. 'open', '-inf', whole(now), 'LIMIT', 0, 50)
  for _, rid in ipairs(due) do
    redis.call('ZREM', base .. 'open', rid)
    release(rid)
    redis.call('ZADD', base .. 'expired', whole(now), rid)
  end
  if #due > 0 then
    redis.call('ZREMRANGEBYSCORE', base .. 'expired', '-inf', whole(now - DAY))
  end
end
