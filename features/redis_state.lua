-- One call on one shard: read each transaction's windows, then apply it, in order; all writes come last, so
-- that a call that fails anywhere has changed nothing. redis_plan.py puts the plan (generated from the
-- catalog) in front of this text; docs/adr/0003 gives the layout and what it costs.
--
-- KEYS    the shard's counter, then one log each span
-- ARGV    key prefix, spans, entries, versions, TTL in seconds, the number that a new life of the shard
--         begins at, the greatest number that the caller saw
-- answer  {0, number, statuses, numbers, {rows of each part}, {index, versions, ...}} or {1} when behind
--
-- An entity is one packed value: header, tiles of each level, counterparties, reports, latest payments. A
-- tile keeps running totals from the entity's first tile on, so that a window is one subtraction, however
-- long. A ring (a payer's latest event ids) is a value of its own: over many shards it is asked alone.

local sp, su = struct.pack, struct.unpack
local sub, find, rep, floor, max, byte = string.sub, string.find, string.rep, math.floor, math.max, string.byte
local bor, band, lshift, bnot = bit.bor, bit.band, bit.lshift, bit.bnot
local WIDE = 2 ^ 48 -- totals are pairs (low 48 bits, the rest): exact where a double alone would round
local BIAS = 2 ^ 24 -- added to each stored maximum: see `largest`
-- From these on a level's tiles are written wide. The sum's leaves room for BIAS in the 32 bits of a maximum.
local NARROW_COUNT, NARROW_SUM, NARROW_SQUARES = 2 ^ 16, 2 ^ 32 - BIAS, 2 ^ 40
local CP, CP_SIZE = '<I6I6', 12 -- last time, counterparty
local REPORT, REPORT_SIZE = '<c8I6I6I6', 26 -- transaction, first OPEN, first CONFIRMED, last final
local RECENT, RECENT_SIZE = '<I6I5', 11 -- time, amount
local RING_HEAD, RING_ID, RING_ENTRY = 6, 8, 16 -- newest time; then each: hash of id, hash of content
local ENTRY, ENTRY_SIZE = '<I1I1I2I8I8I8c8c8c12c12c12c12c12', 104
local HOUR = 3600000
local APPLIED, STORED, STALE, REPEAT, REUSED, REPLAYED = 0, 1, 2, 3, 4, 5
local PART_BITS, ASK_RING, READ_ONLY = { 1, 2, 4, 8 }, 16, 32

for _, part in ipairs(PARTS) do
  part.size = part.to - part.from + 1
  part.row, part.width = '<' .. rep('d', part.size), 8 * part.size
  part.none = rep('\0', part.width)
end

-- Entities of this call, found once and written once, however often they occur. An entity is read where it
-- lies in its value `v`; applying to it makes the value anew, of pieces of the old one.
local cache, touched = {}, {}
local rings, touched_rings = {}, {}

-- Where each level lies: `at` zero-based, its tiles of `w` bytes, their maxima of `m`, their bins; then
-- counterparties, reports, latest payments.
local function place(e)
  local levels, at, n, w, m, pos = e.kind.levels, e.at, e.n, e.w, e.m, e.kind.head_size
  for i = 1, #levels do
    at[i] = pos
    pos = pos + n[i] * (w[i] + m[i] + levels[i].bins)
  end
  e.cps = pos
  e.reports = pos + e.nc * CP_SIZE
  e.recent = e.reports + e.nr * REPORT_SIZE
end

-- `peek`: nil for one that does not exist; it is only to be read.
local function load_entity(number, id, peek)
  local kind = KINDS[number]
  local key = ARGV[1] .. kind.name .. ':' .. id
  local e = cache[key]
  if e then return e end
  local v, levels = redis.call('GET', key), kind.levels
  if not v and peek then return nil end
  e = { kind = kind, key = key, v = v or '', n = {}, at = {}, w = {}, m = {} }
  if v then
    local n1, n2, n3, n4, n5
    e.N, e.F, e.PN, e.PF, e.M, e.wide, e.nc, e.nr, e.nx, n1, n2, n3, n4, n5 = su(kind.head, v)
    e.n = { n1, n2, n3, n4, n5 } -- beyond the kind's levels there is nothing meant
    for i = 1, #levels do
      if e.wide ~= 0 and band(e.wide, lshift(1, i - 1)) ~= 0 then
        e.w[i], e.m[i] = levels[i].wide_width, levels[i].wide_max
      else
        e.w[i], e.m[i] = levels[i].narrow_width, levels[i].narrow_max
      end
    end
    place(e)
  else
    e.N, e.F, e.PN, e.PF, e.M, e.wide, e.nc, e.nr, e.nx = 0, 0, 0, 0, 0, 0, 0, 0, 0
    e.cps, e.reports, e.recent = 0, 0, 0
    for i = 1, #levels do
      e.n[i], e.at[i], e.w[i], e.m[i] = 0, 0, levels[i].narrow_width, levels[i].narrow_max
    end
  end
  cache[key] = e
  return e
end

local function touch(e)
  if not e.touched then
    e.touched = true
    touched[#touched + 1] = e
  end
end

local function head(e)
  return sp(e.kind.head, e.N, e.F, e.PN, e.PF, e.M, e.wide, e.nc, e.nr, e.nx, unpack(e.n))
end

-- Tile p of a level: index, count, sum (low, high), squares (low, high), all running totals. What the
-- level's windows don't tell is not kept while its tiles are narrow, and means nothing.
local function tile_at(e, i, level, p)
  local w = e.w[i]
  if w == level.wide_width then return su(level.wide, e.v, e.at[i] + (p - 1) * w + 1) end
  local index, c, s, q = su(level.narrow, e.v, e.at[i] + (p - 1) * w + 1)
  if level.squares then return index, c, s, 0, q, 0 end
  return index, c, level.sums and s or 0, 0, 0, 0
end

-- Position of the last of n records behind `base`, sorted by their first field, with it <= target; 0 if
-- there is none.
local function locate(s, base, n, width, field, target)
  local lo, hi = 0, n
  while lo < hi do
    local mid = floor((lo + hi + 1) / 2)
    if su(field, s, base + (mid - 1) * width + 1) <= target then lo = mid else hi = mid - 1 end
  end
  return lo
end

-- The same for tiles, below a known one: record `p` has index `at` > target, record 1 has `first` <= target.
-- Tiles are near evenly spread, so a proportional guess is mostly a step or two off.
local function locate_tile(s, base, p, at, first, width, field, target)
  local q = floor(1 + (p - 1) * (target - first) / (at - first))
  if su(field, s, base + (q - 1) * width + 1) <= target then
    while q + 1 < p and su(field, s, base + q * width + 1) <= target do q = q + 1 end
  else
    repeat q = q - 1 until su(field, s, base + (q - 1) * width + 1) <= target
  end
  return q
end

-- Position of the record that holds `needle` at `offset` behind `skip` bytes; nil if there is none.
local function find_record(s, needle, width, offset, skip)
  local at = skip + 1
  while true do
    local p = find(s, needle, at, true)
    if not p then return nil end
    if (p - 1 - skip - offset) % width == 0 then return (p - 1 - skip - offset) / width + 1 end
    at = p + 1
  end
end

local function saturated(high, low, limit)
  local x = high * WIDE + low
  return x < limit and x or limit
end

-- The largest of a run of maxima, in C. `su` answers the values and then a position in the string, which
-- is below BIAS; every stored maximum is above it.
local formats = { [4] = {}, [5] = {} }
local function largest(s, base, width, low, high)
  local n = high - low
  local format = formats[width][n]
  if not format then
    format = '<' .. rep('I' .. width, n)
    formats[width][n] = format
  end
  return max(su(format, s, base + low * width + 1)) - BIAS
end

local function read_level(e, i, level, windows, t, out)
  local s, base, n, width, field = e.v, e.at[i], e.n[i], e.w[i], level.index
  local now, kept = floor(t / level.grain), floor((e.N - level.keep) / level.grain)
  local first, last = su(field, s, base + 1), (su(field, s, base + (n - 1) * width + 1))
  local top, p2, at2, c2, sl2, sh2, ql2, qh2, p1, at1
  for k = 1, #windows do
    local w = windows[k]
    local since = w.since
    if now - w.shift ~= top then
      top = now - w.shift
      p2 = top >= last and n or top < first and 0
        or locate_tile(s, base, n, last, first, width, field, top)
      if p2 == 0 then return end -- later windows of the level end no later
      at2, c2, sl2, sh2, ql2, qh2 = tile_at(e, i, level, p2)
      p1, at1 = p2, at2
    elseif since then
      p1, at1 = p2, at2
    end
    local low = since and floor((now - since) / w.day) * w.day + since - 1 or top - w.tiles
    if low < kept then low = kept end
    if at2 > low then
      local c1, sl1, sh1, ql1, qh1 = 0, 0, 0, 0, 0
      if first > low then
        p1 = 0
      else -- windows of one shift grow, so this one begins at or below where the last one did
        if at1 > low then p1 = locate_tile(s, base, p1, at1, first, width, field, low) end
        at1, c1, sl1, sh1, ql1, qh1 = tile_at(e, i, level, p1)
      end
      local c = c2 - c1
      if w.count then out[w.count] = c < COUNT_MAX and c or COUNT_MAX end
      if w.sum then out[w.sum] = saturated(sh2 - sh1, sl2 - sl1, EXACT_MAX) end
      if w.squares then out[w.squares] = saturated(qh2 - qh1, ql2 - ql1, EXACT_MAX) end
      if w.max then out[w.max] = largest(s, base + n * width, e.m[i], p1, p2) end
    end
  end
end

-- The bins of the tiles in (low, high], as two words of 32 bits.
local function bins_in(e, i, level, low, high)
  local kept = floor((e.N - level.keep) / level.grain)
  if low < kept then low = kept end
  local n, a, b = e.n[i], 0, 0
  if n == 0 or low >= high then return a, b end
  local s, base, width, field = e.v, e.at[i], e.w[i], level.index
  local bins = base + n * (width + e.m[i])
  for p = locate(s, base, n, width, field, low) + 1, locate(s, base, n, width, field, high) do
    local x, y = su('<I4I4', s, bins + (p - 1) * 8 + 1)
    a, b = bor(a, x), bor(b, y)
  end
  return a, b
end

local function bits_in(x)
  local n = 0
  while x ~= 0 do x, n = band(x, x - 1), n + 1 end
  return n
end

-- Bins of the last hour that were in no tile of the days before it: whole hours up to the one in which the
-- last hour begins, and the 5-minute tiles of that one.
local function newcomers(e, t)
  local fine, coarse = e.kind.fine, e.kind.coarse
  local five, hour = e.kind.levels[fine], e.kind.levels[coarse]
  local low = floor((t - HOUR) / five.grain)
  local a, b = bins_in(e, fine, five, low, floor(t / five.grain))
  if a == 0 and b == 0 then return 0 end
  local seam = floor(low * five.grain / hour.grain)
  local a1, b1 = bins_in(e, fine, five, seam * hour.grain / five.grain - 1, low)
  local a2, b2 = bins_in(e, coarse, hour, floor((t - NEWCOMER_AFTER) / hour.grain), seam - 1)
  return bits_in(band(a, bnot(bor(a1, a2)))) + bits_in(band(b, bnot(bor(b1, b2))))
end

local function read_reports(e, slots, t, out)
  local newest = e.N > e.M and e.N or e.M
  local kept = newest - RETENTION
  for at = e.reports + 1, e.recent, REPORT_SIZE do
    local _, opened, confirmed, final = su(REPORT, e.v, at)
    if final == 0 or final <= kept then
      for _, slot in ipairs(slots) do
        local x = slot.open and opened or confirmed
        if x > 0 and x > kept and x > t - slot.length and x <= t then out[slot.at] = out[slot.at] + 1 end
      end
    end
  end
end

local function read_recent(e, view, t, amount, out)
  for _, slot in ipairs(view.same) do
    local same, under, after = 0, 0, max(t - slot.length, e.N - RECENT_KEEP)
    for p = locate(e.v, e.recent, e.nx, RECENT_SIZE, '<I6', after) + 1, e.nx do
      local _, x = su(RECENT, e.v, e.recent + (p - 1) * RECENT_SIZE + 1)
      if x == amount then same = same + 1 end
      for _, limit in ipairs(JUST_UNDER) do
        if x >= limit[1] and x <= limit[2] then under = under + 1 end
      end
    end
    out[slot.at] = same
    for _, other in ipairs(view.under) do
      if other.length == slot.length then out[other.at] = under end
    end
  end
end

local function read_view(view, e, t, amount, other, out)
  for at = view.from, view.to do out[at] = 0 end
  local seen = e and e.N > 0 and t - e.N <= RETENTION
  if view.last then out[view.last] = seen and e.N or UNKNOWN end
  if view.first then out[view.first] = seen and e.F or UNKNOWN end
  if view.changed then
    out[view.changed] = not seen and UNKNOWN or sub(e.v, e.reports - 5, e.reports) == other and 0 or 1
  end
  if not e then return end
  local levels = e.kind.levels
  for i = 1, #levels do
    local windows = view.levels[i]
    if e.n[i] > 0 and #windows > 0 then read_level(e, i, levels[i], windows, t, out) end
  end
  if view.distinct and e.nc > 0 then
    for _, slot in ipairs(view.distinct) do
      local after = t - slot.length
      if after < e.N - CP_KEEP then after = e.N - CP_KEEP end
      out[slot.at] = e.nc - locate(e.v, e.cps, e.nc, CP_SIZE, '<I6', after)
    end
  end
  if view.newcomers and seen then out[view.newcomers] = newcomers(e, t) end
  if view.same and e.nx > 0 then read_recent(e, view, t, amount, out) end
  if view.reports and e.nr > 0 then read_reports(e, view.reports, t, out) end
end

local function carry(low, high)
  if low >= WIDE then return low - WIDE, high + 1 end
  return low, high
end

local function pack_tile(level, wide, index, c, sl, sh, ql, qh)
  if wide then return sp(level.wide, index, c, sl, sh, ql, qh) end
  return sp(level.narrow, index, c, sl, ql) -- what its format has no place for is left out
end

local MAX = { [4] = '<I4', [5] = '<I5' }

-- The largest amount or the bins of one tile, with this payment in it.
local function with_max(s, at, width, amount)
  local old = at and su(MAX[width], s, at) - BIAS or 0
  return sp(MAX[width], (amount > old and amount or old) + BIAS)
end

local function with_bin(s, at, cp)
  local a, b = 0, 0
  if at then a, b = su('<I4I4', s, at) end
  local bin = byte(cp) % BINS
  if bin < 32 then a = bor(a, lshift(1, bin)) else b = bor(b, lshift(1, bin - 32)) end
  return sp('<I4I4', a % 2 ^ 32, b % 2 ^ 32)
end

-- Add a payment to a level by writing all of its tiles again: for a late one, whose later tiles' running
-- totals grow too, and for one whose totals no longer fit the narrow form. Two pieces are appended.
local function rewrite_level(e, i, level, t, amount, ql, qh, cp, wide, parts)
  local index, n, tiles, p, before = floor(t / level.grain), e.n[i], {}, 0, 0
  local c0, sl0, sh0, l0, h0 = 0, 0, 0, 0, 0
  for k = 1, n do
    local at, c, sl, sh, l, h = tile_at(e, i, level, k)
    if at <= index then
      p, before = k, at == index and k - 1 or k
      c0, sl0, sh0, l0, h0 = c, sl, sh, l, h
    else
      c, sl, sh = c + 1, carry(sl + amount, sh)
      l, h = carry(l + ql, h + qh)
    end
    if at ~= index then tiles[#tiles + 1] = pack_tile(level, wide, at, c, sl, sh, l, h) end
  end
  local sl, sh = carry(sl0 + amount, sh0)
  local l, h = carry(l0 + ql, h0 + qh)
  table.insert(tiles, before + 1, pack_tile(level, wide, index, c0 + 1, sl, sh, l, h))
  parts[#parts + 1] = table.concat(tiles)
  local pos, old = e.at[i] + n * e.w[i], e.m[i]
  if old > 0 then
    local width, maxima = wide and level.wide_max or level.narrow_max, {}
    for k = 1, n do maxima[k] = sp(MAX[width], (su(MAX[old], e.v, pos + (k - 1) * old + 1))) end
    local top = amount
    if before < p then
      top = max(top, su(MAX[old], e.v, pos + before * old + 1) - BIAS)
      table.remove(maxima, p)
    end
    table.insert(maxima, before + 1, sp(MAX[width], top + BIAS))
    parts[#parts + 1], pos = table.concat(maxima), pos + n * old
  end
  if level.bins > 0 then
    parts[#parts + 1] = sub(e.v, pos + 1, pos + before * 8)
      .. with_bin(e.v, before < p and pos + before * 8 + 1, cp)
      .. sub(e.v, pos + p * 8 + 1, pos + n * 8)
  end
  e.n[i] = #tiles
end

-- Append the pieces of a level's value with this payment in it.
local function apply_level(e, i, level, t, amount, ql, qh, cp, parts)
  local v, base, n, w = e.v, e.at[i], e.n[i], e.w[i]
  local kept, index = floor((e.N - level.keep) / level.grain), floor(t / level.grain)
  if index <= kept then
    parts[#parts + 1] = sub(v, base + 1, base + n * (w + e.m[i] + level.bins))
    return
  end
  local at, c, sl, sh, l, h = -1, 0, 0, 0, 0, 0
  if n > 0 then at, c, sl, sh, l, h = tile_at(e, i, level, n) end
  local wide = w == level.wide_width
  local widens = not wide
    and (c + 1 >= NARROW_COUNT or sl + amount >= NARROW_SUM or l + ql >= NARROW_SQUARES or qh > 0)
  if widens or at > index then
    rewrite_level(e, i, level, t, amount, ql, qh, cp, wide or widens, parts)
    if widens then
      e.wide, e.w[i], e.m[i] = e.wide + lshift(1, i - 1), level.wide_width, level.wide_max
    end
    return
  end
  sl, sh = carry(sl + amount, sh)
  l, h = carry(l + ql, h + qh)
  local before, drop = at == index and n - 1 or n, 0
  if before == n then
    -- The last tile that fell behind stays: its totals are what the next ones are counted from.
    while drop + 1 < n and su(level.index, v, base + (drop + 1) * w + 1) <= kept do drop = drop + 1 end
  end
  local k, pos = #parts, base + n * w
  parts[k + 1] = sub(v, base + drop * w + 1, base + before * w)
  parts[k + 2] = pack_tile(level, wide, index, c + 1, sl, sh, l, h)
  local m = e.m[i]
  if m > 0 then
    parts[k + 3] = sub(v, pos + drop * m + 1, pos + before * m)
    parts[k + 4] = with_max(v, before < n and pos + before * m + 1, m, amount)
    k, pos = k + 2, pos + n * m
  end
  if level.bins > 0 then
    parts[k + 3] = sub(v, pos + drop * 8 + 1, pos + before * 8)
    parts[k + 4] = with_bin(v, before < n and pos + before * 8 + 1, cp)
  end
  e.n[i] = before + 1 - drop
end

local function with_counterparty(e, t, cp)
  local s, n = sub(e.v, e.cps + 1, e.cps + e.nc * CP_SIZE), e.nc
  local kept = e.N - CP_KEEP
  if t <= kept then return s end
  local p = find_record(s, cp, CP_SIZE, 6, 0)
  if p then
    if su('<I6', s, (p - 1) * CP_SIZE + 1) >= t then return s end
    s, n = sub(s, 1, (p - 1) * CP_SIZE) .. sub(s, p * CP_SIZE + 1), n - 1
  end
  local mine, at = su('<I6', cp), n
  while at > 0 do -- from the newest: in order, this ends at once
    local time, other = su(CP, s, (at - 1) * CP_SIZE + 1)
    if time < t or (time == t and other < mine) then break end
    at = at - 1
  end
  local drop = n + 1 > CP_CAP and n + 1 - CP_CAP or 0
  s = sub(s, 1, at * CP_SIZE) .. sp('<I6', t) .. cp .. sub(s, at * CP_SIZE + 1)
  while su('<I6', s, drop * CP_SIZE + 1) <= kept do drop = drop + 1 end
  return drop > 0 and sub(s, drop * CP_SIZE + 1) or s
end

local function with_recent(e, t, amount)
  local s, n, kept = sub(e.v, e.recent + 1, e.recent + e.nx * RECENT_SIZE), e.nx, e.N - RECENT_KEEP
  if t <= kept then return s end
  local at = n
  while at > 0 do
    local time, other = su(RECENT, s, (at - 1) * RECENT_SIZE + 1)
    if time < t or (time == t and other <= amount) then break end
    at = at - 1
  end
  local drop = n + 1 > RECENT_CAP and n + 1 - RECENT_CAP or 0
  s = sub(s, 1, at * RECENT_SIZE) .. sp(RECENT, t, amount) .. sub(s, at * RECENT_SIZE + 1)
  while su('<I6', s, drop * RECENT_SIZE + 1) <= kept do drop = drop + 1 end
  return drop > 0 and sub(s, drop * RECENT_SIZE + 1) or s
end

-- All but the reports, which may come before a life and outlast it.
local function forget(e)
  for i, level in ipairs(e.kind.levels) do
    e.n[i], e.w[i], e.m[i] = 0, level.narrow_width, level.narrow_max
  end
  e.wide, e.nc, e.nx = 0, 0, 0
end

-- Move the entity's clock. False: the event is older than all that is kept, and reaches nothing.
local function advance(e, t)
  if e.N == 0 then
    e.N, e.F = t, t
  elseif t > e.N + RETENTION then -- never seen: a new life; the old one's ends are kept for a late event
    e.PN, e.PF = e.N, e.F -- that joins the two
    e.N, e.F = t, t
    forget(e)
  elseif t < e.N - RETENTION then
    return false
  else
    if t > e.N then e.N = t end
    if t < e.F then e.F = t end
    if e.PN > 0 and t - e.PN <= RETENTION then
      e.F, e.PN, e.PF = e.PF, 0, 0
    end
  end
  return true
end

local function apply_entity(e, t, amount, ql, qh, cp)
  if not advance(e, t) then return end
  local kind, v, parts = e.kind, e.v, { '' }
  local hour = floor((t + LOCAL_OFFSET) / HOUR) % 24
  local night = hour >= NIGHT_FROM or hour < NIGHT_TO
  local levels = kind.levels
  for i = 1, #levels do
    local level = levels[i]
    if night or not level.night then
      apply_level(e, i, level, t, amount, ql, qh, cp, parts)
    else
      parts[#parts + 1] = sub(v, e.at[i] + 1, e.at[i] + e.n[i] * (e.w[i] + e.m[i] + level.bins))
    end
  end
  if kind.parties then
    local s = with_counterparty(e, t, cp)
    parts[#parts + 1], e.nc = s, #s / CP_SIZE
  end
  if e.nr > 0 then parts[#parts + 1] = sub(v, e.reports + 1, e.reports + e.nr * REPORT_SIZE) end
  if kind.recent then
    local s = with_recent(e, t, amount)
    parts[#parts + 1], e.nx = s, #s / RECENT_SIZE
  end
  parts[1] = head(e)
  e.v = table.concat(parts)
  place(e)
  touch(e)
end

local function label(e, transaction, at, status)
  if at > e.M then e.M = at end
  local kept = max(e.N, e.M) - RETENTION
  local v, from, to = e.v, e.reports, e.reports + e.nr * REPORT_SIZE
  local reports = sub(v, from + 1, to)
  if at > kept then
    local opened, confirmed, final, parts = 0, 0, 0, {}
    for p = 1, #reports, REPORT_SIZE do
      local h, o, c, f = su(REPORT, reports, p)
      if h == transaction then -- times that fell behind are forgotten
        opened, confirmed, final = o > kept and o or 0, c > kept and c or 0, f > kept and f or 0
      elseif o > kept or c > kept or f > kept then
        parts[#parts + 1] = sub(reports, p, p + REPORT_SIZE - 1)
      end
    end
    if status == 0 then opened = (opened == 0 or at < opened) and at or opened
    elseif status == 1 then confirmed = (confirmed == 0 or at < confirmed) and at or confirmed
    elseif at > final then final = at end
    parts[#parts + 1] = sp(REPORT, transaction, opened, confirmed, final)
    reports = table.concat(parts)
  end
  e.nr = #reports / REPORT_SIZE
  e.v = head(e) .. sub(v, e.kind.head_size + 1, from) .. reports .. sub(v, to + 1)
  place(e)
  touch(e)
end

local function load_ring(payer)
  local key = ARGV[1] .. 'ring:' .. payer
  local ring = rings[key]
  if not ring then
    ring = { key = key, value = redis.call('GET', key) or '' }
    rings[key] = ring
  end
  return ring
end

-- What the payer's ring says of an event; one that it does not know is remembered.
local function ask_ring(payer, t, id, content, replay)
  local ring = load_ring(payer)
  local p = find_record(ring.value, id, RING_ENTRY, 0, RING_HEAD)
  if p then
    local at = RING_HEAD + (p - 1) * RING_ENTRY + RING_ID
    if sub(ring.value, at + 1, at + 8) ~= content then return REUSED end
    return replay and REPLAYED or REPEAT
  end
  local newest, ids = 0, ''
  if ring.value ~= '' then newest, ids = su('<I6', ring.value), sub(ring.value, RING_HEAD + 1) end
  if newest > 0 and t - newest > RETENTION then ids = '' end -- the payer reads as never seen
  ids = sub(ids, -(RING_SIZE - 1) * RING_ENTRY) .. id .. content
  ring.value = sp('<I6', max(newest, t)) .. ids
  if not ring.touched then
    ring.touched = true
    touched_rings[#touched_rings + 1] = ring
  end
  return APPLIED
end

local out = {}

-- Read the parts of `mask`, all of them before any is applied. Rows are appended to `rows`, one string a part.
local function read_parts(mask, t, amount, ids, rows)
  for k = 1, #PARTS do
    if band(mask, PART_BITS[k]) ~= 0 then
      local part = PARTS[k]
      for _, v in ipairs(part.views) do
        local view = VIEWS[v]
        local e = load_entity(view.kind, ids[view.id], view.peek)
        read_view(view, e, t, amount, sub(ids[part.other], 1, 6), out)
      end
      rows[k] = sp(part.row, unpack(out, part.from, part.to))
    end
  end
end

local function apply_parts(mask, t, amount, ids)
  local reais = floor((amount + 50) / 100)
  local square = math.min(reais * reais, EXACT_MAX)
  local qh = floor(square / WIDE)
  local ql = square - qh * WIDE
  for k = 1, #PARTS do
    if band(mask, PART_BITS[k]) ~= 0 then
      for _, applied in ipairs(PARTS[k].applied) do
        local e = load_entity(applied.kind, ids[applied.id])
        apply_entity(e, t, amount, ql, qh, sub(ids[PARTS[k].other], 1, 6))
      end
    end
  end
end

local function label_parts(mask, t, status, transaction, ids)
  for k = 1, #PARTS do
    if band(mask, PART_BITS[k]) ~= 0 then
      local labelled = PARTS[k].labelled
      label(load_entity(labelled.kind, ids[labelled.id]), transaction, t, status)
    end
  end
end

-- The answers that earlier calls gave between floor and next, by offset; read only after a redelivery.
local function remembered(span)
  if span.stored then return span.stored end
  span.stored = {}
  for _, item in ipairs(redis.call('LRANGE', span.key .. ':answers', 0, -1)) do
    local _, length = su('<I8I2', item)
    local versions, at = sub(item, 11, 10 + length), 11 + length
    while at <= #item do
      local offset, status, mask, number = su('<I8I1I1I8', item, at)
      local rows = {}
      at = at + 18
      for k = 1, #PARTS do
        if band(mask, PART_BITS[k]) ~= 0 then
          rows[k] = sub(item, at, at + PARTS[k].width - 1)
          at = at + PARTS[k].width
        end
      end
      span.stored[offset] = { status, number, rows, versions }
    end
  end
  return span.stored
end

-- Offsets that this shard's rings did not let through, by which a heal of another shard is told of them.
local function passed_over(span)
  if not span.passed then
    span.passed = {}
    for _, offset in ipairs(redis.call('LRANGE', span.key .. ':passed', 0, -1)) do
      span.passed[tonumber(offset)] = true
    end
  end
  return span.passed
end

local counter = tonumber(redis.call('GET', KEYS[1]) or -1)
local number, began, behind, healing = counter, tonumber(ARGV[6]), false, false
local spans = {}
for i = 2, #KEYS do
  local key = KEYS[i]
  local lowest, start, stop, heals = su('<I8I8I8I1', ARGV[2], (i - 2) * 25 + 1)
  local state = redis.call('HMGET', key, 'floor', 'next')
  local s = { key = key, stop = stop, healing = heals == 1, lowest = lowest, log = {},
              floor = tonumber(state[1] or 0), next = tonumber(state[2] or 0) }
  -- A log that was never seen is written even if it stands at 0: it is no longer unknown.
  s.stored_floor, s.stored_next = state[1] and s.floor or -1, s.next
  -- What lies below the log's first offset can't be read again, and is not missed.
  if s.healing then s.next, healing = max(s.next, lowest), true end
  if s.next < start then behind = true end
  spans[i - 1] = s
end
if not healing and counter < tonumber(ARGV[7]) then behind = true end
if behind then return { 1 } end
if number < 0 or (healing and number < began) then number = began end
for _, s in ipairs(spans) do
  if not s.healing then s.floor, s.next = max(s.floor, s.lowest), max(s.next, s.lowest) end
end

local statuses, numbers, answers, decided = {}, {}, { {}, {}, {}, {} }, {}
for from = 1, #ARGV[3], ENTRY_SIZE do
  local kind, mask, at, offset, t, amount, id, content, payer, payee, pair, device, key =
    su(ENTRY, ARGV[3], from)
  local ids, span = { payer, payee, pair, device, key }, spans[at + 1]
  local report, status, mine, rows = kind == 2, STALE, 0, {}
  if not span or offset >= span.next then
    status = APPLIED
    if report then
      label_parts(mask, t, amount, id, ids)
    else
      if band(mask, ASK_RING) ~= 0 then status = ask_ring(payer, t, id, content, kind == 1) end
      if band(mask, READ_ONLY) ~= 0 then status = REPLAYED end
      if status == APPLIED or status == REPLAYED then read_parts(mask, t, amount, ids, rows) end
      if status == APPLIED then apply_parts(mask, t, amount, ids) end
    end
    if status == APPLIED and mask ~= ASK_RING then
      number = number + 1
      mine = number
    end
    if span and not span.healing then
      local kept, stored = 0, {}
      for k = 1, #PARTS do
        if rows[k] then kept, stored[#stored + 1] = kept + PART_BITS[k], rows[k] end
      end
      span.log[#span.log + 1] = sp('<I8I1I1I8', offset, status, kept, mine) .. table.concat(stored)
    end
    if mask == ASK_RING and status ~= APPLIED then
      span.over = span.over or {}
      span.over[#span.over + 1] = offset
    end
  elseif offset >= span.floor then
    local known = remembered(span)[offset]
    if known then
      status, mine, rows = known[1] == APPLIED and STORED or known[1], known[2], known[3]
      if status == STORED and not report then
        decided[#decided + 1], decided[#decided + 2] = #statuses, known[4]
      end
    end
  elseif span.healing and mask == ASK_RING then
    status = passed_over(span)[offset] and REPEAT or STORED
  end
  statuses[#statuses + 1] = string.char(status)
  numbers[#numbers + 1] = sp('<I8', mine)
  if not report then
    for k = 1, #PARTS do
      if band(mask, PART_BITS[k]) ~= 0 then
        answers[k][#answers[k] + 1] = rows[k] or PARTS[k].none
      end
    end
  end
end

-- Nothing was written until here.
for _, e in ipairs(touched) do redis.call('SET', e.key, e.v, 'EX', ARGV[5]) end
for _, ring in ipairs(touched_rings) do redis.call('SET', ring.key, ring.value, 'EX', ARGV[5]) end
if #spans > 0 and number ~= counter then redis.call('SET', KEYS[1], string.format('%.0f', number)) end
for _, s in ipairs(spans) do
  if s.stop > s.next then s.next = s.stop end
  if s.healing and s.stop > s.floor then s.floor = s.stop end
  local kept = s.key .. ':answers'
  if s.floor ~= s.stored_floor or s.next ~= s.stored_next then
    redis.call('HSET', s.key, 'floor', string.format('%.0f', s.floor), 'next', string.format('%.0f', s.next))
  end
  while s.floor > s.stored_floor do
    local oldest = redis.call('LINDEX', kept, 0)
    if not oldest or su('<I8', oldest) > s.floor then break end
    redis.call('LPOP', kept)
  end
  if #s.log > 0 then
    redis.call('RPUSH', kept, sp('<I8I2', s.stop, #ARGV[4]) .. ARGV[4] .. table.concat(s.log))
    redis.call('EXPIRE', kept, ARGV[5])
  end
  local passed = s.key .. ':passed'
  for _, offset in ipairs(s.over or {}) do redis.call('RPUSH', passed, string.format('%.0f', offset)) end
  while s.healing do -- what is no longer in the log is not healed from it
    local oldest = redis.call('LINDEX', passed, 0)
    if not oldest or tonumber(oldest) >= s.lowest then break end
    redis.call('LPOP', passed)
  end
end
local joined = {}
for k = 1, #PARTS do joined[k] = table.concat(answers[k]) end
return { 0, string.format('%.0f', number), table.concat(statuses), table.concat(numbers), joined, decided }
