-- Ends sessions of one bucket whose time is over, so that cleaning costs what expired and never a scan. T-75, F-29.
--
-- A session's place in the queue is its deadline when it was last written there; touches do not move it, so a live
-- session that comes up is put back at its real deadline. Expiry is judged by the earlier of the caller's and the
-- store's clock: a job with a fast clock ends nothing early.
--
-- Sessions end here as `finish` ends them, and the same is left. It is written out because what a command and a text cost is
-- most of what an end costs: a record is read once, its tombstone is cut from its bytes, and what leaves queue and indexes
-- leaves together.
--
-- KEYS  1 expiry queue  2 outbox
-- ARGV  1 hash tag  2 now ms  3 most sessions to look at  4 operation  5 event id  6 event common  7 tombstone ms
-- Reply {looked at, ended, unreadable}
local slot, operation, common = ARGV[1], ARGV[4], ARGV[6]
local queue, outbox = KEYS[1], KEYS[2]
local most_life = tonumber(ARGV[7])
local call, sub, byte, format, pack_bytes, unpack_bytes =
  redis.call, string.sub, string.byte, string.format, struct.pack, struct.unpack
local time = call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local now = math.min(tonumber(ARGV[2]), clock)

local due = call('ZRANGE', queue, '-inf', format('%d', now), 'BYSCORE', 'LIMIT', 0, ARGV[3])
local looked_at, ended, unreadable = #due, 0, 0
if looked_at == 0 then
  return {0, 0, 0}
end

-- What of HEADER is needed: format, state, MAC key and version as they are, revision, epoch, idle, created, active, absolute,
-- length of the attributes, tag. FLAGS is where the flags are.
local NEEDED, FLAGS = '>BBxc5I4I4xxxxI4I6I6I6xxxxxxxxxxxxI2xxxxxxxxc8', 102
-- The last byte of a record that is read at first: the attributes of most end before. A number would be written out each time.
local LAST_BYTE = '319'
-- A tombstone: its head, MAC key and version, revision, epoch to rotated, its tail, tag to the end of the header.
local heads, tail = {}, pack_bytes('>I6I2', now, 0) .. operation
for _, reason in ipairs({IDLE, ABSOLUTE, REVOKE_ALL}) do
  heads[reason] = string.char(FORMAT, ENDED, reason)
end
local records, indexes, epochs, ids = key(slot, 's', ''), key(slot, 'u', ''), key(slot, 'e', ''), event_of(ARGV[5], '')
local epoch_by_tag, gone_by_tag, back = {}, {}, {}

for at = 1, looked_at do
  local sid = due[at]
  local record_key = records .. sid
  local bytes = call('GETRANGE', record_key, '0', LAST_BYTE)
  local form, state, kept, revision, born_in, idle, created, active, absolute, length, tag
  if #bytes >= HEADER_BYTES then
    form, state, kept, revision, born_in, idle, created, active, absolute, length, tag = unpack_bytes(NEEDED, bytes)
  end
  if bytes == '' then
    -- Nothing but its place in the queue is left of it.
  elseif form ~= FORMAT or (state ~= ACTIVE and state ~= ENDED) then
    -- Kept for an operator to look at, an hour out of the way.
    unreadable = unreadable + 1
    back[#back + 1] = format('%d', now + 3600000)
    back[#back + 1] = sid
  elseif state == ACTIVE then
    local epoch = epoch_by_tag[tag]
    if not epoch then
      epoch = epoch_of(epochs .. tag)
      epoch_by_tag[tag] = epoch
    end
    local reason = over(born_in, active, idle, absolute, epoch, now)
    if reason then
      ended = ended + 1
      if #bytes < HEADER_BYTES + length then
        bytes = call('GETRANGE', record_key, '0', HEADER_BYTES + length - 1)
      end
      if bit.band(byte(bytes, FLAGS), SHARED) ~= 0 then
        call('DEL', key(slot, 'f', sid))
      end
      local tombstone = heads[reason] .. kept .. pack_bytes('>I4', next_number(revision)) .. sub(bytes, 13, 48) .. tail
        .. sub(bytes, 65, HEADER_BYTES)
      call('SET', record_key, tombstone, 'PXAT', format('%d', clock + tombstone_life(absolute, now, most_life)))
      local gone = gone_by_tag[tag]
      if gone then
        gone[#gone + 1] = sid
      else
        gone_by_tag[tag] = {sid}
      end
      local application, counted = told(bytes, HEADER_BYTES + 1, HEADER_BYTES + length)
      if counted == '' then
        call('XADD', outbox, '*', 'i', ids .. sid, 't', 'session.ended', 'r', REASONS[reason], 's', sid, 'u', tag,
          'a', application, 'c', common, 'b', format('%d', created))
      else
        call('XADD', outbox, '*', 'i', ids .. sid, 't', 'session.ended', 'r', REASONS[reason], 's', sid, 'u', tag,
          'a', application, 'c', common, 'p', counted, 'b', format('%d', created))
      end
    else
      back[#back + 1] = format('%d', math.min(active + idle * 1000, absolute))
      back[#back + 1] = sid
    end
  end
end

-- What was due stands first in the queue.
call('ZREMRANGEBYRANK', queue, 0, looked_at - 1)
if #back > 0 then
  call('ZADD', queue, unpack(back))
end
for tag, gone in pairs(gone_by_tag) do
  call('ZREM', indexes .. tag, unpack(gone))
end
return {looked_at, ended, unreadable}
