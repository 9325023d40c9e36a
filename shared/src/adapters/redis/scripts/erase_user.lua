-- Takes a person out of Redis: ends all sessions below an epoch, forgets history, settings and the index, and takes what is
-- personal from events that wait. What began since stays. Running it again changes nothing more. I-13, T-84.
--
-- KEYS  1 epoch  2 index  3 outbox  4 expiry queue  5 the user's history  6 the user's privacy settings
-- ARGV  1 hash tag  2 now ms  3 epoch  4 version of the settings to forget  5 operation  6 event id  7 event common
--       8 tombstone ms  9 ms to keep the epoch  10 user tag  11 application id
-- Reply {ended sessions, events that were made nameless}
local slot, now, epoch = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local operation, event_id, common, tombstone = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])

-- The stream is written anew with the same entries at the same places: what XDEL deletes stays in the memory and in the
-- snapshots of a stream until everything beside it has gone too.
local nameless = 0
local entries = redis.call('XRANGE', KEYS[3], '-', '+')
redis.call('DEL', KEYS[3])
for _, entry in ipairs(entries) do
  local kept, of_user, ended, personal = {}, false, false, 0
  for index = 1, #entry[2], 2 do
    local name, value = entry[2][index], entry[2][index + 1]
    ended = ended or name == 'b'
    of_user = of_user or (name == 'u' and value == ARGV[10])
  end
  for index = 1, #entry[2], 2 do
    local name = entry[2][index]
    if of_user and (name == 'y' or (name == 'p' and not ended)) then
      personal = 1
    else
      table.insert(kept, name)
      table.insert(kept, entry[2][index + 1])
    end
  end
  redis.call('XADD', KEYS[3], entry[1], unpack(kept))
  nameless = nameless + personal
end

if epoch > epoch_of(KEYS[1]) then
  redis.call('SET', KEYS[1], string.format('%d', epoch), 'PX', ARGV[9])
  emit(KEYS[3], event_id, 'user.revoked', REASONS[ERASED], '', ARGV[10], ARGV[11], common)
end
local ended = 0
for _, sid in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local record_key = key(slot, 's', sid)
  local h = read(record_key)
  if h and h.err then
    -- Of another release, and dead by its epoch: there is nothing to tell of it.
    redis.call('DEL', record_key, key(slot, 'f', sid))
    redis.call('ZREM', KEYS[2], sid)
    redis.call('ZREM', KEYS[4], sid)
  elseif not h or h.state ~= ACTIVE then
    redis.call('ZREM', KEYS[2], sid)
  elseif h.epoch < epoch then
    ended = ended + 1
    h.address, h.device = UNKNOWN, UNKNOWN
    finish(slot, sid, h, ERASED, now, operation, tombstone, KEYS[3], event_of(event_id, sid), common)
    redis.call('DEL', key(slot, 'l', sid), key(slot, 'n', sid))
  end
end
redis.call('DEL', KEYS[5])
local settings = redis.call('GET', KEYS[6])
if settings and (struct.unpack('>I4', settings, 2)) <= tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[6])
end
return {ended, nameless}
