"""The Lua that runs inside Redis: small scripts, each of them one step for all who look on.

Read next: over_redis.py and meeting.py, which call them. They are sent as text each time: a restarted Redis
knows no scripts.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ACCOUNTS", "CHANGE", "COOL", "DELIVER", "DRAW", "HOLD", "LEASE", "LOOK", "MEET", "TAKE", "TELL"]

#: Takes one batch of one replica, once: a batch that was sent again after a timeout changes nothing.
#: KEYS  number of the replica's last batch, log, ids of the log, count of all records.
#: ARGV  number of this batch, records to keep, then (records, ids, lines) per entry.
#: Answers with how many records could not be written, and why.
#: A Redis that takes no writes refuses the number, before anything else is done, and the whole batch may come again;
#: once that is noted, nothing counts twice, and what fails after it (a key of another type) is told.
DELIVER: Final = """
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return {0, ''} end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 86400)
local lost, why = 0, ''
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    why = answer.err
    return nil
  end
  return answer
end
local total = tonumber(redis.call('GET', KEYS[4]) or 0)
for a = 3, #ARGV, 3 do
  local now = try('INCRBY', KEYS[4], ARGV[a])
  local at = now and try('XADD', KEYS[2], '*', 'records', ARGV[a + 2])
  if at and try('XADD', KEYS[3], at, 'ids', ARGV[a + 1], 'total', now) then
    total = now
  else
    lost = lost + tonumber(ARGV[a])
    if at then redis.call('XDEL', KEYS[2], at) end
  end
end
local oldest = try('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)
while oldest and oldest[1] and total - tonumber(oldest[1][2][4]) >= tonumber(ARGV[2]) do
  try('XDEL', KEYS[2], oldest[1][1])
  redis.call('XDEL', KEYS[3], oldest[1][1])
  oldest = try('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)
end
return {lost, why}
"""

#: Says that a replica is there, and answers with how many are.
#: KEYS  the sorted set of replicas by when they were last heard of.        ARGV  the replica, milliseconds to remember.
MEET: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""

#: Merges what one replica says of coolings into what all do, and answers with all that is left.
#: Replicas tell and are told milliseconds from now; the one clock is that of Redis, so theirs need not agree.
#: A cooling is kept as "end, when said, kind". An end of 0 is a warm one: it is remembered for a while, so that a
#: cooling that was said before it and comes late changes nothing.
#: KEYS  the hash.  ARGV  milliseconds to remember, then (name, milliseconds since said, milliseconds left, kind) each.
COOL: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = now - ARGV[1]
for a = 2, #ARGV, 4 do
  local at, left = now - ARGV[a + 1], tonumber(ARGV[a + 2])
  local ends, said = string.match(redis.call('HGET', KEYS[1], ARGV[a]) or '', '^(%d+) (%d+) ')
  ends, said = tonumber(ends or 0), tonumber(said or 0)
  if left == 0 then
    if at >= said then redis.call('HSET', KEYS[1], ARGV[a], string.format('0 %.0f ', at)) end
  elseif at > oldest and now + left > ends and (ends > 0 or at >= said) then
    redis.call('HSET', KEYS[1], ARGV[a], string.format('%.0f %.0f %s', now + left, at, ARGV[a + 3]))
  end
end
local left = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ends, said, kind = string.match(all[i + 1], '^(%d+) (%d+) (.*)$')
  local remaining = tonumber(ends or 0) - now
  if remaining > 0 or (ends == '0' and tonumber(said) > oldest) then
    table.insert(left, all[i])
    table.insert(left, math.max(remaining, 0))
    table.insert(left, kind)
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return left
"""

#: Gives leases back and grants them, and answers with 1 for each that the replica now has.
#: KEYS  the leases.        ARGV  the replica, then milliseconds for each: 0 gives back.
LEASE: Final = """
local granted = {}
for k = 1, #KEYS do
  local holder = redis.call('GET', KEYS[k])
  granted[k] = 0
  if ARGV[k + 1] == '0' then
    if holder == ARGV[1] then redis.call('DEL', KEYS[k]) end
  elseif not holder or holder == ARGV[1] then
    redis.call('SET', KEYS[k], ARGV[1], 'PX', ARGV[k + 1])
    granted[k] = 1
  end
end
return granted
"""

#: Draws on buckets, each turn of a replica once, and answers with (level, rate) for each, as text.
#: A bucket is kept as "level, rate, seconds", until it has drained.
#: KEYS  number of the replica's last turn, then the buckets.
#: ARGV  number of this turn, then (amount, rate, capacity) for each: an amount of 0 only looks.
DRAW: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local news = tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1])
if news then redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600) end
local told = {}
for k = 2, #KEYS do
  local a = 3 * k - 4
  local amount, level, rate = tonumber(ARGV[a]), 0, 0
  local l, r, at = string.match(redis.call('GET', KEYS[k]) or '', '^(%S+) (%S+) (%S+)$')
  if at then
    rate = tonumber(r)
    level = math.max(0, tonumber(l) - rate * math.max(0, now - tonumber(at)))
  end
  if news and amount ~= 0 then
    level, rate = math.max(0, level + amount), tonumber(ARGV[a + 1])
    if level > 0 then
      local ttl = math.min(math.ceil(1000 * math.max(level, tonumber(ARGV[a + 2])) / rate), 31536000000)
      redis.call('SET', KEYS[k], string.format('%.17g %.17g %.17g', level, rate, now), 'PX', ttl)
    else
      redis.call('DEL', KEYS[k])
    end
  end
  table.insert(told, string.format('%.17g', level))
  table.insert(told, string.format('%.17g', rate))
end
return told
"""

#: Takes one turn of one replica's accounts (budgets/account.py and fleet.py say the same in Python), and
#: answers with {barred, epoch, accounts that are short, then {allowance, others, others settled, their rows} for each}.
#: A row is kept as "n allowance settled lost". A server that is new in charge (a failover, a restart) may not know what
#: the one before it had granted last: it grants nothing until all replicas have had the time to tell it. The epoch it
#: answers with is another one, as it is when all was lost: so they tell it what they know of others, too.
#: Beside the rows ``=`` is "committed settled" of all of them, which is all that LOOK reads.
#: An account is short where another replica has something that it has not spent: who floods us with new end users, each
#: refused, makes nobody look.
#: KEYS  about the store itself, the sorted set of replicas, the accounts that are short, then the accounts.
#: ARGV  the replica, a new epoch, milliseconds to bar, milliseconds in which a replica counts as there; then for each
#: account: limit, seconds it is kept, n, allowance, settled, lost, need, want, how many rows of others, (replica, row).
ACCOUNTS: Final = """
local me, PRESENT = ARGV[1], tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local told = redis.pcall('INFO', 'server')
local server = type(told) == 'string' and string.match(told, 'run_id:(%w+)') or ''
local known = redis.call('HMGET', KEYS[1], 'epoch', 'server', 'since')
local epoch, since = known[1] or ARGV[2], tonumber(known[3] or now)
if not known[1] or known[2] ~= server then
  since = now
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'server', server, 'since', string.format('%.0f', now))
end
local barred = now - since < tonumber(ARGV[3])
local replicas = math.max(1, redis.call('ZCOUNT', KEYS[2], now - PRESENT, '+inf'))
local answer = {barred and 1 or 0, epoch .. server, false}
local function read(row)
  local n, a, s, l = string.match(row or '', '^(%d+) (%d+) (%d+) (%d+)$')
  return tonumber(n or -1), tonumber(a or 0), tonumber(s or 0), tonumber(l or 0)
end
local a = 5
for k = 4, #KEYS do
  local key = KEYS[k]
  local limit, keep, n = tonumber(ARGV[a]), ARGV[a + 1], tonumber(ARGV[a + 2])
  local allowance, settled, lost = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
  local need, want, given = tonumber(ARGV[a + 6]), tonumber(ARGV[a + 7]), tonumber(ARGV[a + 8])
  a = a + 9
  for r = 1, given do
    if ARGV[a] ~= me and read(redis.call('HGET', key, ARGV[a])) < read(ARGV[a + 1]) then
      redis.call('HSET', key, ARGV[a], ARGV[a + 1])
    end
    a = a + 2
  end
  local others, committed, done, mine = {}, 0, 0, nil
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if all[i] == me then
      mine = all[i + 1]
    elseif all[i] ~= '=' then
      local _, ra, rs, rl = read(all[i + 1])
      committed, done = committed + math.max(ra, rs + rl), done + rs
      table.insert(others, all[i])
      table.insert(others, all[i + 1])
    end
  end
  local last, kept, kept_settled, kept_lost = read(mine)
  if last > n then
    allowance, settled, lost = kept, kept_settled, kept_lost
  else
    local own = math.max(allowance, settled + lost)
    local free = barred and 0 or limit - committed - own
    if free > 0 and need - own <= free then
      allowance = math.max(allowance, need, math.min(want, own + math.floor(free / (2 * replicas))))
    end
    redis.call('HSET', key, me, string.format('%.0f %.0f %.0f %.0f', n, allowance, settled, lost))
    redis.call('EXPIRE', key, keep)
    if not barred and allowance < need and committed > done then
      redis.call('HSET', KEYS[3], key, string.format('%.0f', now))
      redis.call('EXPIRE', KEYS[3], 60)
    end
  end
  local sum = string.format('%.0f %.0f', committed + math.max(allowance, settled + lost), done + settled)
  redis.call('HSET', key, '=', sum)
  local function text(number) return string.format('%.0f', number) end
  table.insert(answer, {text(allowance), text(committed), text(done), others})
end
local short, all = {}, redis.call('HGETALL', KEYS[3])
for i = 1, #all, 2 do
  if now - tonumber(all[i + 1]) > 3000 then
    redis.call('HDEL', KEYS[3], all[i])
  else
    table.insert(short, all[i])
  end
end
answer[3] = short
return answer
"""

#: Takes sums of one teller, and answers with the number of its turn before this one, as far as it is known here, and
#: what was wrong. A turn that comes after a later one changes nothing.
#: KEYS  the teller's hash, the set of tellers.
#: ARGV  number of this turn, seconds to keep, the teller, then (field, sums) each.
TELL: Final = """
local last = redis.pcall('HGET', KEYS[1], '')
if type(last) == 'table' then return {0, last.err} end
last = tonumber(last or 0)
if last >= tonumber(ARGV[1]) then return {last, ''} end
local function try(...)
  local answer = redis.pcall(...)
  return type(answer) == 'table' and answer.err
end
local err = try('HSET', KEYS[1], '', ARGV[1], unpack(ARGV, 4)) or try('EXPIRE', KEYS[1], ARGV[2])
  or try('SADD', KEYS[2], ARGV[3]) or try('EXPIRE', KEYS[2], ARGV[2])
return {last, err or ''}
"""

#: Puts one document in place of another and notes that, unless there is a third by now; empty is none. Answers with
#: what is there then. A change that was made already is not made again.
#: KEYS  the hash of documents, the stream of changes.  ARGV  the id, what is there, what is to be, entries to keep.
CHANGE: Final = """
local found = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if found ~= ARGV[2] or found == ARGV[3] then return found end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'id', ARGV[1])
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return ARGV[3]
"""

#: Draws on buckets for requests that wait, each on all of its own or on none, and answers with 1 for each that did,
#: then with the level of each bucket, as text. A bucket takes what leaves it at its capacity, but for what sums of
#: small numbers err by. Buckets are kept as DRAW keeps them.
#: KEYS  the buckets.
#: ARGV  (rate, capacity, what the replica has drawn and not yet told) for each bucket; then for each request the number
#:       of its buckets, and (place in KEYS, amount) for each.
TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local level, rate, capacity, untold, drawn = {}, {}, {}, {}, {}
for k = 1, #KEYS do
  rate[k], capacity[k], untold[k] = tonumber(ARGV[3 * k - 2]), tonumber(ARGV[3 * k - 1]), tonumber(ARGV[3 * k])
  local l, r, at = string.match(redis.call('GET', KEYS[k]) or '', '^(%S+) (%S+) (%S+)$')
  level[k] = at and math.max(0, tonumber(l) - tonumber(r) * math.max(0, now - tonumber(at))) or 0
end
local answers = {}
local a = 3 * #KEYS + 1
while a <= #ARGV do
  local last = a + 2 * ARGV[a]
  local fits = 1
  for i = a + 1, last, 2 do
    local k = tonumber(ARGV[i])
    if level[k] + untold[k] + ARGV[i + 1] > capacity[k] * 1.000000001 then fits = 0 end
  end
  if fits == 1 then
    for i = a + 1, last, 2 do
      local k = tonumber(ARGV[i])
      level[k], drawn[k] = level[k] + ARGV[i + 1], true
    end
  end
  table.insert(answers, fits)
  a = last + 1
end
for k = 1, #KEYS do
  if drawn[k] then
    local ttl = math.min(math.ceil(1000 * math.max(level[k], capacity[k]) / rate[k]), 31536000000)
    redis.call('SET', KEYS[k], string.format('%.17g %.17g %.17g', level[k], rate[k], now), 'PX', ttl)
  end
  table.insert(answers, string.format('%.17g', level[k]))
end
return answers
"""

#: Says how many places of each name a replica uses and wants, and answers with (how many it has, how many all others
#: have, whether any replica was short of them lately) for each. What all replicas that are present have is never more
#: than there are, unless one of them uses more: then nobody is given any.
#: A row is kept as "number, places"; that of a replica that is gone is dropped. A number that is not newer than the
#: row's comes late: it changes nothing.
#: KEYS  the sorted set of replicas (see MEET), then a hash for each name.
#: ARGV  the replica, milliseconds to remember it, milliseconds to remember that one was short, milliseconds to remember
#:       a hash, number, then (used, needed now, wanted, limit) for each name.
HOLD: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me, number, present = ARGV[1], tonumber(ARGV[5]), {}
redis.call('ZADD', KEYS[1], now, me)
for _, replica in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[2], '+inf')) do present[replica] = true end
local told = {}
for k = 2, #KEYS do
  local a = 4 * k - 2
  local used, need, want, limit = tonumber(ARGV[a]), ARGV[a + 1] + 0, ARGV[a + 2] + 0, ARGV[a + 3] + 0
  local others, mine, newest, short = 0, 0, 0, 0
  local rows = redis.call('HGETALL', KEYS[k])
  for i = 1, #rows, 2 do
    if rows[i] == '!' then
      short = tonumber(rows[i + 1])
    else
      local n, places = string.match(rows[i + 1], '^(%d+) (%d+)$')
      if rows[i] == me then
        newest, mine = tonumber(n), tonumber(places)
      elseif present[rows[i]] then
        others = others + places
      else
        redis.call('HDEL', KEYS[k], rows[i])
      end
    end
  end
  if number > newest then
    mine = math.max(used, math.min(want, limit - others))
    redis.call('HSET', KEYS[k], me, string.format('%.0f %.0f', number, mine))
    if mine < need then
      short = now
      redis.call('HSET', KEYS[k], '!', now)
    end
    redis.call('PEXPIRE', KEYS[k], ARGV[4])
  end
  table.insert(told, mine)
  table.insert(told, others)
  table.insert(told, now - short < tonumber(ARGV[3]) and 1 or 0)
end
return told
"""

#: Answers with the sums of accounts, as ACCOUNTS has left them; nothing for one that is not known.
#: ARGV  what the keys of accounts begin with, and the names as one JSON list: an argument for each is dear to pack.
LOOK: Final = """
local sums = {}
for k, name in ipairs(cjson.decode(ARGV[2])) do sums[k] = redis.call('HGET', ARGV[1] .. name, '=') end
return sums
"""
