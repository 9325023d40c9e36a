-- Changes the marker of a bucket from one value to another, if it still has the first. Runs without the prelude: it is the
-- job's own.
--
-- KEYS  1 marker
-- ARGV  1 value that it has  2 next value, or '' for none  3 ms that it stays, or '' for good
-- Reply 1 changed | 0 it has another value
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
