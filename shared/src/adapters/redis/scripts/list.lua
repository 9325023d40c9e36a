-- One page of a user's live sessions that one application owns or may read, newest first. Reads only.
--
-- KEYS  1 index  2 epoch  3 the caller's own session, when a holder calls
-- ARGV  1 hash tag  2 now ms  3 application tag  4 created ms of the last item seen or ''  5 its key text  6 page size
--       7 auth_time of the calling holder's token in seconds or ''  8 the calling holder's address and device digest
-- Reply {'page', {key text, record, family…}…} one item more than the page when there is another page; records without the
--       sealed data; families of an owner's session are all it is shared with, of another's the application's own
--       | {'caller', reason} the caller's own session is over
--       | {'unjudged'} the caller's own session is quarantined, or its context has to be judged first
local slot, now, application, limit = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[6])
local after, after_sid = tonumber(ARGV[4]), ARGV[5]

local epoch = epoch_of(KEYS[2])
if KEYS[3] then
  local refusal = refuse_caller(slot, KEYS[3], application, ARGV[7], epoch, now, ARGV[8])
  if refusal then return refusal end
end

-- The session as the application sees it, or nil.
local function item(member)
  local record_key = key(slot, 's', member)
  local h = read(record_key)
  if not h or h.err or h.state ~= ACTIVE or lapsed(h, epoch, now) then
    return nil
  end
  if after and not (h.created < after or (h.created == after and precedes(member, after_sid))) then
    return nil
  end
  local found = {member, prefix(record_key, h)}
  if h.app ~= application then
    local f = family_of(slot, member, h, application)
    if not f or f.err or bit.band(f.scopes, MAY_READ) == 0 then
      return nil
    end
    table.insert(found, pack_family(f))
  elseif bit.band(h.flags, SHARED) ~= 0 then
    for _, family in ipairs(redis.call('HVALS', key(slot, 'f', member))) do
      -- One of another format is left out, like a record.
      if #family > FAMILY_BYTES and string.byte(family, 1) == FAMILY_FORMAT then
        table.insert(found, family)
      end
    end
  end
  return found
end

local reply = {'page'}
local start = after and string.format('%d', after) or '+inf'
for _, member in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[1], start, '-inf')) do
  local found = item(member)
  if found then
    table.insert(reply, found)
    if #reply > limit + 1 then
      return reply
    end
  end
end
return reply
