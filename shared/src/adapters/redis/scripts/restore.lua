-- Writes keys of a bucket to the store that it goes to, as the other store dumped them, for the job whose turn it is. A job
-- that lost its turn, and does not know it, writes nothing. Runs without the prelude.
--
-- KEYS  1 marker  2 turns  3 the keys, as many as there are
-- ARGV  1 turn, then per key: when it expires in ms, 0 for never, and what it holds, or '' for nothing
-- Reply 1 written | 0 a later turn has begun | -1 the bucket was moved from here once
if redis.call('GET', KEYS[1]) then
  return -1
end
local turn, last = tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[2]) or '0')
if turn < last then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1])
local words = {unpack(ARGV, 2)}
for at, name in ipairs({unpack(KEYS, 3)}) do
  local expires, payload = words[2 * at - 1], words[2 * at]
  if payload == '' then
    redis.call('UNLINK', name)
  else
    redis.call('RESTORE', name, expires, payload, 'REPLACE', 'ABSTTL')
  end
end
return 1
