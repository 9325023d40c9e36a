-- What keys hold, as digests that do not depend on how a store keeps it. Runs without the prelude.
--
-- KEYS  1 the keys, as many as there are
-- ARGV  none
-- Reply per key: its digest, or '' when it is not there, and when it expires in ms, -1 for never
local function joined(parts)
  local out = {}
  for _, part in ipairs(parts) do
    table.insert(out, string.format('%d:', #part) .. part)
  end
  return table.concat(out)
end

local read = {}
function read.string(name)
  return redis.call('GET', name)
end

function read.zset(name)
  return joined(redis.call('ZRANGE', name, 0, -1, 'WITHSCORES'))
end

-- Fields come in no order; digests of them sort alike under every locale.
function read.hash(name)
  local flat, pairs_of = redis.call('HGETALL', name), {}
  for at = 1, #flat, 2 do
    table.insert(pairs_of, redis.sha1hex(joined({flat[at], flat[at + 1]})))
  end
  table.sort(pairs_of)
  return table.concat(pairs_of)
end

function read.set(name)
  local members = {}
  for _, member in ipairs(redis.call('SMEMBERS', name)) do
    table.insert(members, redis.sha1hex(member))
  end
  table.sort(members)
  return table.concat(members)
end

-- An outbox may be long: page by page. Where it had come to counts as well, since ids go on from there.
function read.stream(name)
  local info = redis.call('XINFO', 'STREAM', name)
  local digest, start = '', '-'
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then digest = info[at + 1] end
  end
  while true do
    local page = redis.call('XRANGE', name, start, '+', 'COUNT', 500)
    if #page == 0 then return digest end
    for _, entry in ipairs(page) do
      digest = redis.sha1hex(digest .. entry[1] .. joined(entry[2]))
    end
    start = '(' .. page[#page][1]
  end
end

local reply = {}
for _, name in ipairs(KEYS) do
  local kind = redis.call('TYPE', name).ok
  if kind == 'none' then
    table.insert(reply, '')
  elseif read[kind] then
    table.insert(reply, redis.sha1hex(kind .. read[kind](name)))
  else
    return redis.error_reply('UNREADABLE kind of key')
  end
  table.insert(reply, redis.call('PEXPIRETIME', name))
end
return reply
