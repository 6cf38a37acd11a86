-- Keeps the masks of a conversation, if nobody kept others since they were read.
-- KEYS[1] name; ARGV: SHA-1 of what was read ("" for nothing), the new value, its life in ms.
local now = redis.call('GET', KEYS[1])
local read = now and redis.sha1hex(now) or ''
if read ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
