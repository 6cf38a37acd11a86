-- Writes API keys, all or none, each with the next change number.
-- KEYS: table (id -> record), changes (id scored by number), meta (epoch, version)
-- ARGV: channel, epoch for a new store, then for each key: id, the change number that
--       the writer saw ("" where the key must be new), record
-- Returns the number of the first change, or {id} of the first key that stands otherwise.
for i = 3, #ARGV, 3 do
  local found = redis.call('ZSCORE', KEYS[2], ARGV[i]) or ''
  if found ~= ARGV[i + 1] then
    return {ARGV[i]}
  end
end
redis.call('HSETNX', KEYS[3], 'epoch', ARGV[2])
local first = 0
for i = 3, #ARGV, 3 do
  local number = redis.call('HINCRBY', KEYS[3], 'version', 1)
  if first == 0 then
    first = number
  end
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  redis.call('ZADD', KEYS[2], number, ARGV[i])
end
redis.call('PUBLISH', ARGV[1], tostring(first))
return first
