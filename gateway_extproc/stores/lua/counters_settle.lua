-- Replaces what a reservation held by what was used, once.
-- ARGV: rid, force (0, 1), then for each share: kind (r, p, s), name, start,
--   amount (r: by how much its TAT moves), and when a new counter ends (p: ms since 1970), or
--   what was held has drained (r).
-- Returns settled (1), late (2) or duplicate (3), then of each share its period's use.
local rid, force = ARGV[1], ARGV[2] == '1'
local outcome = 3
if redis.call('ZREM', base .. 'open', rid) == 1 then
  outcome = 1
  release(rid)
  if force then
    redis.call('SET', base .. 'done:' .. rid, '', 'EX', 86400)
  end
elseif redis.call('ZREM', base .. 'expired', rid) == 1 then
  outcome = 2
  if force then
    redis.call('SET', base .. 'done:' .. rid, '', 'EX', 86400)
  end
elseif force and redis.call('SET', base .. 'done:' .. rid, '', 'EX', 86400, 'NX') then
  outcome = 2
end
local answer = {outcome}
for i = 3, #ARGV, 5 do
  local kind, name, start, amount = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local used = 0
  if kind == 'p' then
    local key = base .. 'p:' .. start .. ':' .. name
    if outcome == 3 then
      used = tonumber(redis.call('HGET', key, 'u') or 0)
    else
      used = redis.call('HINCRBY', key, 'u', whole(amount))
      if redis.call('PTTL', key) < 0 then
        redis.call('PEXPIREAT', key, ARGV[i + 4])
      end
    end
  elseif kind == 'r' and outcome ~= 3 and amount ~= 0 then
    local key = base .. 'r:' .. name
    local tat = tonumber(redis.call('GET', key) or 0)
    if amount > 0 then
      tat = math.max(tat, now)
    else
      amount = math.max(amount, math.min(0, now - tonumber(ARGV[i + 4])))
    end
    tat = tat + amount
    if tat > now then
      local ahead_ms = math.ceil((tat - now) / 1000) + 1
      redis.call('SET', key, whole(tat), 'PX', whole(ahead_ms))
    else
      redis.call('DEL', key)
    end
  end
  answer[#answer + 1] = used
end
return answer
