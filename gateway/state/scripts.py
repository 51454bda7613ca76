"""The Lua that runs inside Redis: two small scripts, each of them one step for all who look on.

Read next: over_redis.py, which calls them. They are sent as text each time: a restarted Redis knows no scripts.
"""

from __future__ import annotations

from typing import Final

__all__ = ["COOL", "DELIVER"]

#: Takes one batch of one replica, once: a batch that was sent again after a timeout changes nothing.
#: KEYS  number of the replica's last batch, log, ids of the log, count of all records, then one hash per sum spent.
#: ARGV  number of this batch, records to keep, (deployment, micro-dollars) per hash, (records, ids, lines) per entry.
#: The number is noted before the rest, so that an error half-way can lose money but never count it twice.
DELIVER: Final = """
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 86400)
local a = 3
for k = 5, #KEYS do
  redis.call('HINCRBY', KEYS[k], ARGV[a], ARGV[a + 1])
  a = a + 2
end
local total = tonumber(redis.call('GET', KEYS[4]) or 0)
while a <= #ARGV do
  total = redis.call('INCRBY', KEYS[4], ARGV[a])
  local at = redis.call('XADD', KEYS[2], '*', 'records', ARGV[a + 2])
  redis.call('XADD', KEYS[3], at, 'ids', ARGV[a + 1], 'total', total)
  a = a + 3
end
local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
while oldest and total - tonumber(oldest[2][4]) >= tonumber(ARGV[2]) do
  redis.call('XDEL', KEYS[2], oldest[1])
  redis.call('XDEL', KEYS[3], oldest[1])
  oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
end
return 1
"""

#: Merges what one replica leaves alone into what all do, a later end winning, and answers with all that is left.
#: Replicas tell and are told milliseconds from now; the one clock is that of Redis, so theirs need not agree.
#: KEYS  the hash of cooling deployments.        ARGV  (deployment, milliseconds, kind) each.
COOL: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for a = 1, #ARGV, 3 do
  local ends = now + tonumber(ARGV[a + 1])
  local known = redis.call('HGET', KEYS[1], ARGV[a])
  if not known or tonumber(string.match(known, '^%d+')) < ends then
    redis.call('HSET', KEYS[1], ARGV[a], string.format('%.0f %s', ends, ARGV[a + 2]))
  end
end
local left = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ends, kind = string.match(all[i + 1], '^(%d+) (.*)$')
  local remaining = tonumber(ends) - now
  if remaining > 0 then
    table.insert(left, all[i])
    table.insert(left, remaining)
    table.insert(left, kind)
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return left
"""
