-- Ends all sessions of a user: raises the epoch mirror, then ends what the index names. Complete even if the index
-- drifted, because every check compares the epoch. Running it again with the same epoch changes nothing more.
--
-- KEYS  1 epoch  2 index  3 outbox  4 expiry queue  5 the spared session, when there is one
-- ARGV  1 hash tag  2 now ms  3 epoch  4 key text of the spared session or ''  5 operation  6 event id
--       7 event common  8 tombstone ms  9 most sessions to end  10 ms to keep the epoch  11 user tag  12 application id
--       13 floor: the spared session must have reached this epoch, the last one that did not spare it
-- Reply {ended count, spared (1 or 0)}
local slot, now, epoch, spared = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local operation, event_id, common, tombstone = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])

local before = epoch_of(KEYS[1])
local kept = 0
if spared ~= '' then
  local h = read(KEYS[5])
  -- A record of another format can not be spared; the epoch rises all the same.
  if h and not h.err and h.state == ACTIVE and h.tag == ARGV[11] and h.epoch >= tonumber(ARGV[13])
    and not lapsed(h, math.min(before, epoch), now) then
    kept = 1
    if h.epoch < epoch then
      h.epoch = epoch
      patch(KEYS[5], h)
    end
  end
end
if epoch > before then
  redis.call('SET', KEYS[1], string.format('%d', epoch), 'PX', ARGV[10])
  emit(KEYS[3], event_id, 'user.revoked', REASONS[REVOKE_ALL], '', ARGV[11], ARGV[12], common)
end
local ended = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, tonumber(ARGV[9]) - 1)) do
  local h = read(key(slot, 's', member))
  if h and h.err then
    -- Left as it is: the epoch has ended it already.
  elseif not h or h.state ~= ACTIVE then
    redis.call('ZREM', KEYS[2], member)
  elseif h.epoch < epoch then
    ended = ended + 1
    finish(slot, member, h, REVOKE_ALL, now, operation, tombstone, KEYS[3], event_of(event_id, member), common)
  end
end
return {ended, kept}
