-- Runs one command behind the bucket's marker: for commands that write and need no script otherwise.
--
-- KEYS  1 the command's key
-- ARGV  the command's words
-- Reply the command's
return redis.call(unpack(ARGV))
