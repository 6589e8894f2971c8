"""The Lua scripts for what must be atomic inside Redis. Each call touches the keys of one slot only."""

from __future__ import annotations

SWAP = """
local at, result = 1, 0
local function take() local item = ARGV[at]; at = at + 1; return item end
for _ = 1, tonumber(take()) do
  local entry, present, text = take(), take(), take()
  local stored = redis.call('HGET', KEYS[1], entry)
  if (present == '1') ~= (stored ~= false) or (stored and stored ~= text) then return 0 end
end
for _ = 1, tonumber(take()) do
  local entry, present, text = take(), take(), take()
  if present == '1' then redis.call('HSET', KEYS[1], entry, text) else redis.call('HDEL', KEYS[1], entry) end
end
return 1
"""
"""Compare-and-set on a hash. ARGV: how many entries are expected, then (entry, '1' or '0' for absent, text) for
each; how many are updated, and the same for each. Returns 1 where the entries were updated, else 0."""

MERGE = """
local count = tonumber(ARGV[1])
local fields, totals = {}, {}
for f = 1, count do fields[f] = ARGV[f + 1]; totals[f] = 0; totals[count + f] = 0 end
local at = count + 1
for k = 1, #KEYS do
  local stored = redis.call('HMGET', KEYS[k], unpack(fields))
  local changes = {}
  for f = 1, count do
    local new, old = ARGV[at + f], stored[f]
    local wins = new ~= '' and new ~= old
    if wins and not old then
      totals[count + f] = totals[count + f] + 1
    elseif wins and #old >= 17 and string.sub(old, 12, 17) == string.sub(new, 12, 17) then
      local a1, a2, a3 = struct.unpack('>I4I4I3', old)
      local b1, b2, b3 = struct.unpack('>I4I4I3', new)
      local a, b = a2 % 32 * 4194304 + math.floor(a3 / 4), b2 % 32 * 4194304 + math.floor(b3 / 4)
      wins = b > a or (b == a and (b1 > a1 or (b1 == a1 and (b2 > a2 or (b2 == a2 and b3 >= a3)))))
    end
    if wins then
      totals[f] = totals[f] + 1
      changes[#changes + 1] = fields[f]
      changes[#changes + 1] = new
    end
  end
  at = at + count
  if #changes > 0 then redis.call('HSET', KEYS[k], unpack(changes)) end
end
return totals
"""
"""Merges packed values. KEYS are entities; ARGV: how many fields, their names, and for each entity a value (empty for
none) for each field. A value of another version in the same field (left by a partial loss) is always replaced. Returns
how many values were written, field by field, and then how many of those were new. It compares run_seq, and then the
first eleven bytes; numbers and not strings, since Lua orders strings by the server's locale; three of them, since a
number of Lua is exact up to 2**53."""

DISCARD = """
local removed = 0
local limit = tonumber(ARGV[2])
for k = 1, #KEYS do
  local stored = redis.call('HGET', KEYS[k], ARGV[1])
  if stored and #stored >= 11 then
    local b8, low = struct.unpack('>I1I3', stored, 8)
    local run_seq = (b8 % 32) * 4194304 + math.floor(low / 4)
    if run_seq <= limit then removed = removed + redis.call('HDEL', KEYS[k], ARGV[1]) end
  elseif stored then
    removed = removed + redis.call('HDEL', KEYS[k], ARGV[1])
  end
end
return removed
"""
"""Removes a field (ARGV 1) from the entities KEYS where its run_seq is at most ARGV 2. Returns how many."""
