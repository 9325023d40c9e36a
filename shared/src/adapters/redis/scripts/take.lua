-- Takes a bucket's turn to be moved, unless it was moved or a job is at it. Runs without the prelude.
--
-- KEYS  1 marker  2 turns
-- ARGV  1 ms that the marker stays
-- Reply the turn | 0 a job is at it | -1 it was moved
local marker = redis.call('GET', KEYS[1])
if marker then
  return marker == 'moved' and -1 or 0
end
local turn = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], 'listing ' .. string.format('%d', turn), 'PX', ARGV[1])
return turn
