-- Counts what a party asked for and did not find in this minute, and tells of it once when that is too much. Twin of
-- core::rate::judge. When the call runs twice, the misses count twice. T-58.
--
-- KEYS  1 counter  2 outbox
-- ARGV  1 quota  2 misses  3 ms of a window  4 event id  5 event common  6 key text of the holder's session, or ''
--       7 pseudonym of the party  8 application id, or ''
-- Reply {over (1 or 0), ms left of the window}
local quota, misses = tonumber(ARGV[1]), tonumber(ARGV[2])
local before = tonumber(redis.call('GET', KEYS[1]) or '0')
if before == 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
else
  redis.call('INCRBY', KEYS[1], ARGV[2])
end
local over = before + misses > quota
if over and before <= quota then
  emit(KEYS[2], ARGV[4], 'security.probing', '', ARGV[6], ARGV[7], ARGV[8], ARGV[5])
end
return {over and 1 or 0, redis.call('PTTL', KEYS[1])}
