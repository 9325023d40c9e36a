-- Records activity. Changes only a live session and never creates one. I-11, T-68.
--
-- KEYS  1 session  2 epoch
-- ARGV  1 now ms
-- Reply 1 recorded | 0 the session is over
local now = tonumber(ARGV[1])
local h = read(KEYS[1])
if not h then
  return 0
end
if h.err then return h end
if h.state ~= ACTIVE or lapsed(h, epoch_of(KEYS[2]), now) then
  return 0
end
if now > h.active then
  redis.call('SETRANGE', KEYS[1], 30, struct.pack('>I6', now))
end
return 1
