-- One page of a user's live sessions of one application, newest first. Reads only.
--
-- KEYS  1 index  2 epoch  3 the caller's own session, when a holder calls
-- ARGV  1 hash tag  2 now ms  3 application tag  4 created ms of the last item seen or ''  5 its key text  6 page size
--       7 the calling holder's address and device digest
-- Reply {'page', {key text, record}…} one item more than the page when there is another page; records without the
--       sealed data | {'caller', reason} the caller's own session is over
--       | {'unjudged'} the caller's own session is quarantined, or its context has to be judged first
local slot, now, application, limit = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[6])
local after, after_sid = tonumber(ARGV[4]), ARGV[5]

local epoch = epoch_of(KEYS[2])
if KEYS[3] then
  local refusal = refuse_caller(KEYS[3], epoch, now, ARGV[7])
  if refusal then return refusal end
end
local reply = {'page'}
local start = after and string.format('%d', after) or '+inf'
for _, member in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[1], start, '-inf')) do
  local record_key = key(slot, 's', member)
  local h = read(record_key)
  if h and not h.err and h.state == ACTIVE and h.app == application and not lapsed(h, epoch, now) then
    if not after or h.created < after or (h.created == after and precedes(member, after_sid)) then
      table.insert(reply, {member, prefix(record_key, h)})
      if #reply > limit + 1 then
        return reply
      end
    end
  end
end
return reply
