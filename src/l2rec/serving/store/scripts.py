"""What the Redis server runs in one step for us: each script is atomic, and whole or absent after a crash.

Keys, all behind one prefix:

* `ids`, `bodies`, `done`: hashes from a version to its inner number, its release and its users done; `next` counts.
* `turns`: sorted set of the versions that were switched to; the highest is the current one. `dropped`: inner numbers.
* `rows:NUMBER:BUCKET`: hashes from a user to the row; `users:NUMBER`: their ids in order.
* `log:CHUNK`: lists of 256 events; `count`: how many there are; `seen`: set of event ids; `did:USER`: list of numbers.
* `items`, `changes`, `change`: an item's newest state, its change's number, the last number. `keys`: hash by digest.
"""

_PREFIX = "local p = KEYS[1] .. ':'\n"
_CURRENT = "local current = redis.call('ZREVRANGE', p .. 'turns', 0, 0)[1]\n"

BEGIN = (
    _PREFIX
    + """
if redis.call('HEXISTS', p .. 'ids', ARGV[1]) == 1 then
  return {redis.call('HGET', p .. 'bodies', ARGV[1]), redis.call('ZSCORE', p .. 'turns', ARGV[1])}
end
redis.call('HSET', p .. 'ids', ARGV[1], redis.call('INCR', p .. 'next'))
redis.call('HSET', p .. 'bodies', ARGV[1], ARGV[2])
return {}
"""
)

WRITE_ROWS = (
    _PREFIX
    + """
local id = redis.call('HGET', p .. 'ids', ARGV[1])
if not id then return 0 end
for i = 3, #ARGV, 3 do
  redis.call('HSET', p .. 'rows:' .. id .. ':' .. ARGV[i], ARGV[i + 1], ARGV[i + 2])
  redis.call('ZADD', p .. 'users:' .. id, 0, ARGV[i + 1])
end
if ARGV[2] ~= '' then redis.call('HSET', p .. 'done', ARGV[1], ARGV[2]) end
return 1
"""
)

SWITCH = (
    _PREFIX
    + """
if redis.call('HEXISTS', p .. 'ids', ARGV[1]) == 0 then return 0 end
local last = redis.call('ZREVRANGE', p .. 'turns', 0, 0, 'WITHSCORES')
redis.call('HSET', p .. 'bodies', ARGV[1], ARGV[2])
redis.call('ZADD', p .. 'turns', (last[2] or 0) + 1, ARGV[1])
return 1
"""
)

CURRENT = (
    _PREFIX
    + _CURRENT
    + """
if not current then return false end
return {current, redis.call('HGET', p .. 'bodies', current)}
"""
)

# Told which version to leave, so that asking once more after a lost answer does not go back twice.
ROLLBACK = (
    _PREFIX
    + _CURRENT
    + """
if redis.call('ZSCORE', p .. 'turns', ARGV[1]) then
  if current ~= ARGV[1] then return 'again' end
  current = redis.call('ZREVRANGE', p .. 'turns', 1, 1)[1]
  if not current then return false end
  redis.call('ZREM', p .. 'turns', ARGV[1])
end
return redis.call('HGET', p .. 'bodies', current)
"""
)

DROP = (
    _PREFIX
    + _CURRENT
    + """
if current == ARGV[1] then return 0 end
local id = redis.call('HGET', p .. 'ids', ARGV[1])
if id then
  for _, name in ipairs({'ids', 'bodies', 'done'}) do redis.call('HDEL', p .. name, ARGV[1]) end
  redis.call('ZREM', p .. 'turns', ARGV[1])
  redis.call('SADD', p .. 'dropped', id)
end
return 1
"""
)

USER = (
    _PREFIX
    + """
local id = redis.call('HGET', p .. 'ids', ARGV[1])
local row = id and redis.call('HGET', p .. 'rows:' .. id .. ':' .. ARGV[2], ARGV[3])
local upto = row and struct.unpack('<I8', row, 2) or 0
local numbers = redis.call('LRANGE', p .. 'did:' .. ARGV[3], -50, -1) -- of most users, all
if #numbers == 50 and tonumber(numbers[1]) > upto then
  numbers = redis.call('LRANGE', p .. 'did:' .. ARGV[3], -ARGV[4], -1)
end
local found = {row or false}
for _, text in ipairs(numbers) do
  local number = tonumber(text) - 1
  if number >= upto then
    found[#found + 1] = text
    found[#found + 1] = redis.call('LINDEX', p .. 'log:' .. math.floor(number / 256), number % 256)
  end
end
return found
"""
)

USER_IDS = (
    _PREFIX
    + """
local id = redis.call('HGET', p .. 'ids', ARGV[1])
if not id then return {} end
return redis.call('ZRANGEBYLEX', p .. 'users:' .. id, '[' .. ARGV[2], '(' .. ARGV[3], 'LIMIT', 0, ARGV[4])
"""
)

APPEND = (
    _PREFIX
    + """
local count = tonumber(redis.call('GET', p .. 'count') or 0)
local before, new = count, {}
for i = 1, #ARGV, 3 do
  local added = redis.call('SADD', p .. 'seen', ARGV[i])
  new[#new + 1] = added
  if added == 1 then
    redis.call('RPUSH', p .. 'log:' .. math.floor(count / 256), ARGV[i + 2])
    count = count + 1
    redis.call('RPUSH', p .. 'did:' .. ARGV[i + 1], string.format('%.0f', count))
  end
end
if count > before then redis.call('SET', p .. 'count', string.format('%.0f', count)) end
return new
"""
)

EVENTS = (
    _PREFIX
    + """
local first, found = tonumber(ARGV[1]), {}
local last = math.min(first + ARGV[2], tonumber(redis.call('GET', p .. 'count') or 0))
while first < last do
  local chunk = math.floor(first / 256)
  local past = math.min(last, (chunk + 1) * 256)
  for _, event in ipairs(redis.call('LRANGE', p .. 'log:' .. chunk, first % 256, past - 1 - chunk * 256)) do
    found[#found + 1] = event
  end
  first = past
end
return found
"""
)

PUT_ITEMS = (
    _PREFIX
    + """
local number = tonumber(redis.call('GET', p .. 'change') or 0)
for i = 1, #ARGV, 2 do
  number = number + 1
  redis.call('HSET', p .. 'items', ARGV[i], ARGV[i + 1])
  redis.call('ZADD', p .. 'changes', number, ARGV[i])
end
if #ARGV > 0 then redis.call('SET', p .. 'change', string.format('%.0f', number)) end
return number
"""
)

ITEMS = (
    _PREFIX
    + """
local found = redis.call('ZRANGEBYSCORE', p .. 'changes', '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #found, 2 do found[i] = redis.call('HGET', p .. 'items', found[i]) end
return found
"""
)

DROP_KEY = (
    _PREFIX
    + """
local dropped, all = 0, redis.call('HGETALL', p .. 'keys')
for i = 1, #all, 2 do
  if cjson.decode(all[i + 1]).name == ARGV[1] then
    dropped = dropped + redis.call('HDEL', p .. 'keys', all[i])
  end
end
return dropped
"""
)
