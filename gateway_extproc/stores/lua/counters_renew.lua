-- Open reservations live for another lease; what has expired stays expired.
-- ARGV: lease, then rids.
reap()
local expiry = whole(now + tonumber(ARGV[1]))
for i = 2, #ARGV do
  redis.call('ZADD', base .. 'open', 'XX', expiry, ARGV[i])
end
return now
