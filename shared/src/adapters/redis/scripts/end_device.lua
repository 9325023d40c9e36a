-- Ends all sessions of a user's device, with every application: raises the mirror of the device's epoch, then ends what the
-- index names and is of an earlier one. No creation that read the device before gets past the mirror. Running it again
-- with the same epoch changes nothing more. I-11.
--
-- KEYS  1 device epoch  2 index  3 outbox  4 expiry queue  5 epoch
-- ARGV  1 hash tag  2 now ms  3 device epoch  4 device tag  5 reason  6 operation  7 event id  8 event common
--       9 tombstone ms  10 ms to keep the device epoch  11 user tag  12 application id
-- Reply ended count
local slot, now, device_epoch, device, reason = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local operation, event_id, common, tombstone = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])

if device_epoch > epoch_of(KEYS[1]) then
  redis.call('SET', KEYS[1], string.format('%d', device_epoch), 'PX', ARGV[10])
  emit(KEYS[3], event_id, 'device.revoked', REASONS[reason], '', ARGV[11], ARGV[12], common)
end
local epoch = epoch_of(KEYS[5])
local ended = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local record_key = key(slot, 's', member)
  local h = read(record_key)
  if h and h.err then
    -- Left as it is: nothing of this release can use it.
  elseif not h or h.state ~= ACTIVE then
    redis.call('ZREM', KEYS[2], member)
  elseif h.device_epoch < device_epoch and attribute(record_key, h, 12) == device then
    ended = ended + 1
    finish(slot, member, h, lapsed(h, epoch, now) or reason, now, operation, tombstone, KEYS[3], event_of(event_id, member),
      common)
  end
end
return ended
