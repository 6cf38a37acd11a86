-- One page of the keys that were written after a change number, oldest first.
-- KEYS: as in keys_write.lua
-- ARGV: change number, length of a page
-- Returns epoch and last change number, then number, id and record of each.
local answer = {
  redis.call('HGET', KEYS[3], 'epoch') or '', redis.call('HGET', KEYS[3], 'version') or '0'}
local page = redis.call(
  'ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #page, 2 do
  answer[#answer + 1] = page[i + 1]
  answer[#answer + 1] = page[i]
  answer[#answer + 1] = redis.call('HGET', KEYS[1], page[i]) or ''
end
return answer
