-- Leases permits of a party's quota for this minute. Twin of core::rate::grant. When the call runs twice, what the first
-- run leased goes unused.
--
-- KEYS  1 counter
-- ARGV  1 quota  2 permits wanted  3 ms of a window
-- Reply {granted, unleased, ms left of the window}
local quota, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local leased = tonumber(redis.call('GET', KEYS[1]) or '0')
local granted = math.max(0, math.min(wanted, quota - leased))
if leased == 0 then
  redis.call('SET', KEYS[1], string.format('%d', granted), 'PX', ARGV[3])
elseif granted > 0 then
  redis.call('INCRBY', KEYS[1], string.format('%d', granted))
end
return {granted, math.max(0, quota - leased - granted), redis.call('PTTL', KEYS[1])}
