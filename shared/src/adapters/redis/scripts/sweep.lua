-- Ends sessions of one bucket whose time is over, so that cleaning costs what expired and never a scan. T-75, F-29.
--
-- A session's place in the queue is its deadline when it was last written there; touches do not move it, so a live
-- session that comes up is put back at its real deadline. Expiry is judged by the earlier of the caller's and the
-- store's clock: a job with a fast clock ends nothing early.
--
-- KEYS  1 expiry queue  2 outbox
-- ARGV  1 hash tag  2 now ms  3 most sessions to look at  4 operation  5 event id  6 event common  7 tombstone ms
-- Reply {looked at, ended, unreadable}
local slot, operation, event_id, common = ARGV[1], ARGV[4], ARGV[5], ARGV[6]
local tombstone = tonumber(ARGV[7])
local time = redis.call('TIME')
local now = math.min(tonumber(ARGV[2]), time[1] * 1000 + math.floor(time[2] / 1000))

local due = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%d', now), 'BYSCORE', 'LIMIT', 0, ARGV[3])
local ended, unreadable = 0, 0
for _, sid in ipairs(due) do
  local h = read(key(slot, 's', sid))
  if h and h.err then
    -- Kept for an operator to look at, an hour out of the way.
    unreadable = unreadable + 1
    redis.call('ZADD', KEYS[1], string.format('%d', now + 3600000), sid)
  elseif not h or h.state ~= ACTIVE then
    redis.call('ZREM', KEYS[1], sid)
  else
    local reason = lapsed(h, epoch_of(key(slot, 'e', h.tag)), now)
    if reason then
      ended = ended + 1
      finish(slot, sid, h, reason, now, operation, tombstone, KEYS[2], event_of(event_id, sid), common)
    else
      redis.call('ZADD', KEYS[1], string.format('%d', math.min(h.active + h.idle * 1000, h.absolute)), sid)
    end
  end
end
return {#due, ended, unreadable}
