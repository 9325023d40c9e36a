-- Prelude of every script: the record's header and the steps that several scripts share.
--
-- Offsets are those of shared/src/core/record.rs; a test compares the two on random records. Keys beyond KEYS are
-- built by `key` only, always inside the hash tag of KEYS[1]: a user's index names sessions that the caller can not
-- know, and all of them share the slot by construction. Names are those of shared/src/adapters/redis/keys.rs.

-- Before anything else the bucket's marker is looked at (shared/src/adapters/redis/fence.rs): in a bucket that is being moved
-- to another store, or was, no script does anything, whatever its caller knows of the move. While a bucket's keys are
-- listed, each key that a script uses is written down, so that the list misses none.

local redis = redis
do
  local slot = string.match(KEYS[1], '{b%x%x%x}')
  local marker = redis.call('GET', 'm:' .. slot)
  local state = marker and string.match(marker, '^%a+')
  if state == 'listing' then
    local server = redis
    local function call(...)
      local _, used = ...
      if type(used) == 'string' and string.find(used, slot, 1, true) then
        server.call('SADD', 'k:' .. slot, used)
        server.call('PEXPIRE', 'k:' .. slot, '3600000')
      end
      return server.call(...)
    end
    redis = setmetatable({call = call}, {__index = server})
  elseif state then
    return redis.error_reply(state == 'moving' and 'BUCKETMOVING now' or 'BUCKETMOVED for good')
  end
end

local HEADER = '>BBBBI4I4I4I4I4I6I6I6I6I6I2c8c8c8c8c8I2BBBBI4I4'
local HEADER_BYTES = 110
-- A family of another application under a shared session: shared/src/core/family.rs.
local FAMILY = '>BBBI4I4I2I6I6c8c8c8'
local FAMILY_BYTES = 49
local FAMILY_FORMAT = 1
local MAY_READ, MAY_WRITE = 1, 2
local UNKNOWN = string.rep('\0', 8)
-- Coordinates that are not known: shared/src/core/place.rs.
local NO_POINT = '\128\0\128\0'
-- The attribute that holds a place, up to its country, of a place without a city.
local COUNTRY = '\15\0\6'
local FORMAT = 2
local ACTIVE, ENDED = 1, 2
local QUARANTINED = 2
local KEY_BOUND, SHARED = 1, 2
-- What a user has switched off, in flags and in the mirror of the settings: shared/src/core/privacy.rs.
local NO_LOCATION, NO_FINGERPRINT, NO_SHARING, PRIVACY_SHIFT = 16, 32, 64, 8
local OPTED_OUT_OF_ACTIVITY = 1
local IDLE, ABSOLUTE, EVICTED, REUSE, REVOKE_ALL, ERASED = 3, 4, 5, 6, 7, 12
local REASONS = {'user', 'admin', 'idle', 'absolute', 'evicted', 'reuse', 'revoke_all', 'token_revoked', 'device_removed',
  'device_blocked', 'risk', 'erased'}

local function key(slot, letter, id)
  return letter .. ':' .. slot .. ':' .. id
end

-- The header of a record, or nil when there is none. A record of another format stops the script before any write.
local function read(record_key)
  local bytes = redis.call('GETRANGE', record_key, 0, HEADER_BYTES - 1)
  if #bytes == 0 then
    return nil
  end
  local format, state = string.byte(bytes, 1, 2)
  if #bytes < HEADER_BYTES or format ~= FORMAT or (state ~= ACTIVE and state ~= ENDED) then
    return redis.error_reply('UNREADABLE record')
  end
  local h = {}
  h.format, h.state, h.reason, h.mac_key, h.version, h.revision, h.epoch, h.generation, h.idle, h.created, h.active,
    h.absolute, h.rotated, h.ended, h.attributes, h.operation, h.tag, h.app, h.address, h.device,
    h.grace, h.standing, h.trust, h.score, h.flags, h.superseded, h.device_epoch = struct.unpack(HEADER, bytes)
  return h
end

local function pack(h)
  return struct.pack(HEADER, h.format, h.state, h.reason, h.mac_key, h.version, h.revision, h.epoch, h.generation,
    h.idle, h.created, h.active, h.absolute, h.rotated, h.ended, h.attributes, h.operation, h.tag, h.app, h.address,
    h.device, h.grace, h.standing, h.trust, h.score, h.flags, h.superseded, h.device_epoch)
end

-- The number after another. Generations stay at the largest, as in core::refresh_decision.
local function next_generation(generation)
  return math.min(generation + 1, 4294967295)
end

-- Versions and revisions go round, as in Rust.
local function next_number(number)
  return (number + 1) % 4294967296
end

-- Whether one key text comes before another, byte by byte: `<` on strings follows the server's locale.
local function precedes(one, other)
  for at = 1, math.min(#one, #other) do
    local a, b = string.byte(one, at), string.byte(other, at)
    if a ~= b then
      return a < b
    end
  end
  return #one < #other
end

-- Writes the header in place; attributes, sealed data and TTL stay.
local function patch(record_key, h)
  h.revision = next_number(h.revision)
  redis.call('SETRANGE', record_key, 0, pack(h))
end

-- Writes the header and, unless they are '', other attributes; sealed data and TTL stay.
local function rewrite(record_key, h, attributes)
  if attributes == '' then
    return patch(record_key, h)
  end
  local sealed = redis.call('GETRANGE', record_key, HEADER_BYTES + h.attributes, -1)
  h.attributes = #attributes
  h.revision = next_number(h.revision)
  redis.call('SET', record_key, pack(h) .. attributes .. sealed, 'KEEPTTL')
end

-- A judgement as core::risk::Commitment::encode writes it: what it was made from, and what it puts in the record.
local function judgement_of(bytes)
  local j, at = {}, nil
  j.revision, j.standing, j.score, j.address, j.device, at = struct.unpack('>I4BBc8c8', bytes)
  for _, part in ipairs({'attributes', 'event', 'detail', 'history'}) do
    local length = struct.unpack('>I2', bytes, at)
    j[part] = string.sub(bytes, at + 2, at + 1 + length)
    at = at + 2 + length
  end
  return j
end

-- Whether two context digests contradict; an unknown side never does.
local function differs(recorded, presented)
  return recorded ~= UNKNOWN and presented ~= UNKNOWN and recorded ~= presented
end

-- Whether the holder of a session can not act on it yet: it is quarantined, or its context has to be judged first, which
-- is done for the application that owns it. `context` is the address and the device digest of a holder, '' of an
-- application, which is never judged.
local function unjudged(h, application, context)
  return context ~= '' and (h.standing == QUARANTINED or h.app == application
    and (differs(h.address, string.sub(context, 1, 8)) or differs(h.device, string.sub(context, 9, 16))))
end

-- Why what an active record says of its life is over all the same, or nil. Twin of core::session::liveness.
local function over(born_in, active, idle, absolute, epoch, now)
  if born_in < epoch then
    return REVOKE_ALL
  elseif now >= absolute then
    return ABSOLUTE
  elseif now >= active + idle * 1000 then
    return IDLE
  end
  return nil
end

local function lapsed(h, epoch, now)
  return over(h.epoch, h.active, h.idle, h.absolute, epoch, now)
end

local function epoch_of(epoch_key)
  return tonumber(redis.call('GET', epoch_key) or '0')
end

-- Whether a record's user has switched something off.
local function opted_out(h, what)
  return bit.band(h.flags, what) ~= 0
end

-- What a mirror of the privacy settings says, as it stands in the flags of records.
local function privacy_flags(mirror)
  return bit.band(string.byte(mirror or '') or 0, 14) * PRIVACY_SHIFT
end

-- The header of an application's session that nobody has ended; else nil and the reply that says so.
local function owned(record_key, application)
  local h = read(record_key)
  if h and h.err then return nil, h end
  if not h or h.app ~= application then
    return nil, {'missing'}
  end
  if h.state ~= ACTIVE then
    return nil, {'ended', h.reason}
  end
  return h
end

-- Header and attributes, without the sealed data.
local function prefix(record_key, h)
  return redis.call('GETRANGE', record_key, 0, HEADER_BYTES + h.attributes - 1)
end

-- The attributes of a record as they are (core/attributes.rs).
local function attributes_of(record_key, h)
  return redis.call('GETRANGE', record_key, HEADER_BYTES, HEADER_BYTES + h.attributes - 1)
end

-- One attribute among others, or ''.
local function attribute_in(bytes, wanted)
  local at = 1
  while at + 2 <= #bytes do
    local tag, length = struct.unpack('>BI2', bytes, at)
    if tag == wanted then
      return string.sub(bytes, at + 3, at + 2 + length)
    end
    at = at + 3 + length
  end
  return ''
end

-- One text attribute of a record, or ''.
local function attribute(record_key, h, wanted)
  return attribute_in(attributes_of(record_key, h), wanted)
end

-- What of a session's attributes is told when it ends: its application, and its kind of device and its country, which are
-- counted. Nothing that names a person outlives the session here. The attributes are those from one byte to another.
local function told(bytes, from, last)
  local application, kind, place = '', '', ''
  while from + 2 <= last do
    local tag, high, low = string.byte(bytes, from, from + 2)
    local stop = from + 2 + high * 256 + low
    local value_end = stop < last and stop or last
    if tag == 2 then
      application = string.sub(bytes, from + 3, value_end)
    elseif tag == 8 and value_end > from + 2 then
      kind = string.sub(bytes, from, value_end)
    elseif tag == 15 and value_end > from + 3 then
      place = COUNTRY .. string.sub(bytes, from + 3, from + 4) .. NO_POINT
    end
    from = stop + 1
  end
  return application, kind .. place
end

-- The family of an application under a session, or nil. One of another format stops the script before any write.
local function family_of(slot, sid, h, application)
  if bit.band(h.flags, SHARED) == 0 then
    return nil
  end
  local bytes = redis.call('HGET', key(slot, 'f', sid), application)
  if not bytes then
    return nil
  end
  if #bytes <= FAMILY_BYTES or string.byte(bytes, 1) ~= FAMILY_FORMAT then
    return redis.error_reply('UNREADABLE family')
  end
  local f = {}
  f.format, f.mac_key, f.scopes, f.first, f.generation, f.grace, f.created, f.rotated, f.operation, f.address, f.device =
    struct.unpack(FAMILY, bytes)
  f.id = string.sub(bytes, FAMILY_BYTES + 1)
  return f
end

local function pack_family(f)
  return struct.pack(FAMILY, f.format, f.mac_key, f.scopes, f.first, f.generation, f.grace, f.created, f.rotated,
    f.operation, f.address, f.device) .. f.id
end

-- When a session's user authenticated, in seconds as access tokens say it, or ''.
local function authenticated(record_key, h)
  local millis = attribute(record_key, h, 5)
  return #millis == 8 and string.format('%d', math.floor(struct.unpack('>I8', millis) / 1000)) or ''
end

-- Whether a holder's token is from before a step-up. Twin of core::assurance::is_current; applications ('any') have none.
local function outdated(record_key, h, auth_time)
  return auth_time ~= 'any' and auth_time ~= authenticated(record_key, h)
end

-- The reply to a holder whose own session is over, is shared with its application no more, or has been stepped up since;
-- whose session is quarantined (a reason that there is not, 255) or, for scripts that are given the holder's context, has
-- to be judged first; nil when its token is good. Contexts of families are not judged.
local function refuse_caller(slot, record_key, application, auth_time, epoch, now, context)
  local h = read(record_key)
  if not h then
    return {'caller', 0}
  end
  if h.err then return h end
  local over = h.state ~= ACTIVE and h.reason or lapsed(h, epoch, now)
  if over then
    return {'caller', over}
  end
  if h.app ~= application then
    local f = family_of(slot, string.match(record_key, '[^:]+$'), h, application)
    if not f then
      return {'caller', 0}
    end
    if f.err then return f end
  end
  if outdated(record_key, h, auth_time) then
    return {'caller', 0}
  elseif context then
    return unjudged(h, application, context) and {'unjudged'} or nil
  end
  return h.standing == QUARANTINED and {'caller', 255} or nil
end

-- As `owned`, for an application that owns the session or shares it: header, its family when it shares, or the reply. The
-- families of a tombstone are gone; a holder's own token says that there was one.
local function reached(slot, record_key, sid, application, by_holder)
  local h = read(record_key)
  if h and h.err then return nil, nil, h end
  if not h then
    return nil, nil, {'missing'}
  end
  local f
  if h.app ~= application then
    f = family_of(slot, sid, h, application)
    if f and f.err then return nil, nil, f end
    local told = by_holder and h.state ~= ACTIVE and bit.band(h.flags, SHARED) ~= 0
    if not f and not told then
      return nil, nil, {'missing'}
    end
  end
  if h.state ~= ACTIVE then
    return nil, nil, {'ended', h.reason}
  end
  return h, f
end

-- A session's lock and what outlives it (core/lock.rs).
local LOCK, ISSUED = '>c16I6BI6c8', '>I6c8'

-- The lock that is held, with what is left of it by the store's clock, or nil.
local function lock_of(lock_key)
  local bytes = redis.call('GET', lock_key)
  if not bytes then
    return nil
  end
  local lock = {left = redis.call('PTTL', lock_key)}
  lock.owner, lock.fence, lock.renewals, lock.granted, lock.operation = struct.unpack(LOCK, bytes)
  return lock
end

local function issued_of(issued_key)
  local bytes = redis.call('GET', issued_key)
  if not bytes then
    return {highest = 0, released_by = UNKNOWN}
  end
  local issued = {}
  issued.highest, issued.released_by = struct.unpack(ISSUED, bytes)
  return issued
end

-- Appends one event to the bucket's outbox, in the same atomic step as the change it tells of. What follows `common` may be
-- left out: `detail`, the `attributes` of the session as its record has them, and when it `began`.
local function emit(outbox_key, id, kind, reason, sid, tag, application, common, detail, attributes, began)
  local entry = {'i', id, 't', kind, 'r', reason, 's', sid, 'u', tag, 'a', application, 'c', common}
  local last = #entry
  if detail and detail ~= '' then
    entry[last + 1], entry[last + 2], last = 'd', detail, last + 2
  end
  if attributes and attributes ~= '' then
    entry[last + 1], entry[last + 2], last = 'p', attributes, last + 2
  end
  if began then
    entry[last + 1], entry[last + 2], last = 'b', string.format('%d', began), last + 2
  end
  redis.call('XADD', outbox_key, '*', unpack(entry, 1, last))
end

-- The id of an operation's event about one of several sessions. It must not depend on how many came before: the same
-- operation may run again over what the first run left.
local function event_of(event_id, sid)
  return event_id .. '.' .. sid
end

-- How long a tombstone lives, in ms: as long as the session could have, within the given bound, and a day at least. Who held
-- it can be told why it is over.
local function tombstone_life(absolute, now, most)
  return math.max(86400000, math.min(most, absolute - now))
end

-- Ends a session: tombstone without attributes and data, every family gone, out of index and expiry queue, one event. The
-- sweep, which ends many, does the same in its own way.
local function finish(slot, sid, h, reason, now, operation, tombstone_millis, outbox_key, event_id, common)
  local record_key = key(slot, 's', sid)
  local attributes, began = attributes_of(record_key, h), h.created
  local application, counted = told(attributes, 1, #attributes)
  h.state, h.reason, h.ended, h.attributes, h.operation = ENDED, reason, now, 0, operation
  h.revision = next_number(h.revision)
  if bit.band(h.flags, SHARED) ~= 0 then
    redis.call('DEL', key(slot, 'f', sid))
  end
  local life = tombstone_life(h.absolute, now, tombstone_millis)
  redis.call('SET', record_key, pack(h), 'PX', string.format('%d', life))
  redis.call('ZREM', key(slot, 'u', h.tag), sid)
  redis.call('ZREM', 'x:' .. slot, sid)
  emit(outbox_key, event_id, 'session.ended', REASONS[reason], sid, h.tag, application, common, '', counted, began)
end

-- The key of the code that waits for an application to take a share of a session.
local function code_key(slot, sid, application)
  local hex = string.gsub(application, '.', function(c) return string.format('%02x', string.byte(c)) end)
  return key(slot, 'c', sid .. ':' .. hex)
end

-- Takes a session from an application that it is shared with: its family and a waiting code go, one event.
local function withdraw(slot, record_key, sid, h, application, id, operation, outbox_key, event_id, common)
  local families = key(slot, 'f', sid)
  redis.call('HDEL', families, application)
  redis.call('DEL', code_key(slot, sid, application))
  if redis.call('EXISTS', families) == 0 then
    h.flags = h.flags - SHARED
  end
  h.operation = operation
  patch(record_key, h)
  emit(outbox_key, event_id, 'share.withdrawn', '', sid, h.tag, id, common)
end
