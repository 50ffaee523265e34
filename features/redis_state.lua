-- One call on one shard: read each transaction's windows, then apply it, in order; all writes come last, so
-- that a call that fails anywhere has changed nothing. redis_plan.py puts the plan (generated from the
-- catalog) in front of this text, and redis_codegen.py's functions in its middle; docs/adr/0003 gives the
-- layout and what it costs.
--
-- KEYS    the shard's counter, then one log each span
-- ARGV    key prefix, spans, entries, versions, TTL in seconds, the number that a new life of the shard
--         begins at, the greatest number that the caller saw, the life that it knows, 1 to renew that life
-- answer  {0, number, life, statuses, numbers, {rows of each part}, {index, versions, ...}}, {1} when behind
--
-- A life of a shard ends when it is lost, or found to have lost something. Whoever knows another life than
-- the stored one learns of the loss, though the one who found it may be healing already.
--
-- An entity is one packed value: head, tiles of each level (then their maxima, their bins), counterparties,
-- reports, latest payments. The head tells the totals of all payments; a tile tells what they were before
-- the tile's first payment, counting every payment that lies before the tile in event time. So a window is
-- one subtraction, however long; a payment in order changes the head and begins a tile or none; and of the
-- newest tile nothing is to be read, for it is the newest payment's. Tiles are narrow until a total
-- outgrows them, then all of the entity's are wide. A ring (a payer's latest event ids) is a value of its
-- own: over many shards it is asked alone.

local sp, su = struct.pack, struct.unpack
local sub, find, rep, floor, max, byte = string.sub, string.find, string.rep, math.floor, math.max, string.byte
local bor, band, lshift, bnot = bit.bor, bit.band, bit.lshift, bit.bnot
local least = math.min
local WIDE = 2 ^ 48 -- totals are pairs (low 48 bits, the rest): exact where a double alone would round
local BIAS = 2 ^ 24 -- added to each stored maximum: see `largest`
-- From these on tiles are written wide. The sum's leaves room for BIAS in the 32 bits of a maximum.
local NARROW_COUNT, NARROW_SUM, NARROW_SQUARES = 2 ^ 16, 2 ^ 32 - BIAS, 2 ^ 40
local CP, CP_SIZE = '<I6I6', 12 -- last time, counterparty
local REPORT, REPORT_SIZE = '<c8I6I6I6', 26 -- transaction, first OPEN, first CONFIRMED, last final
local RECENT, RECENT_SIZE = '<I6I5', 11 -- time, amount
local RING_HEAD, RING_ID, RING_ENTRY = 6, 8, 16 -- newest time; then each: hash of id, hash of content
local ENTRY, ENTRY_SIZE = '<I1I1I2I8I8I8c8c8c12c12c12c12c12', 104
local HOUR = 3600000
local APPLIED, STORED, STALE, REPEAT, REUSED, REPLAYED = 0, 1, 2, 3, 4, 5
local PASSED_CAP = 200000 -- offsets a log and shard, about 2 MB
local PART_BITS, ASK_RING, READ_ONLY = { 1, 2, 4, 8 }, 16, 32

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

local function saturated(high, low)
  local x = high * WIDE + low
  return x < EXACT_MAX and x or EXACT_MAX
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


-- The number of counterparties whose last time is behind `after`; the last one's is the newest payment's.
local function distinct(v, cps, n, newest, after)
  if after < newest - CP_KEEP then after = newest - CP_KEEP end
  if after >= newest then return 0 end
  return n - locate(v, cps, n, CP_SIZE, '<I6', after)
end

-- The bins of the tiles in (low, high], as two words of 32 bits.
local function bins_in(v, level, form, base, n, newest, low, high)
  local kept = floor(newest / level.grain) - level.kept
  if low < kept then low = kept end
  local a, b = 0, 0
  if n == 0 or low >= high then return a, b end
  local width = level[form .. '_width']
  local field, indexes = level.index, base + width - level.index_size
  local bins = base + n * (width + level[form .. '_max'])
  for p = locate(v, indexes, n, width, field, low) + 1, locate(v, indexes, n, width, field, high) do
    local x, y = su('<I4I4', v, bins + (p - 1) * 8 + 1)
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
local function newcomers(v, t, newest, kind, form, fine_at, fine_n, coarse_at, coarse_n)
  local five, hour = kind.levels[kind.fine], kind.levels[kind.coarse]
  local low = floor((t - HOUR) / five.grain)
  local a, b = bins_in(v, five, form, fine_at, fine_n, newest, low, floor(t / five.grain))
  if a == 0 and b == 0 then return 0 end
  local seam = floor(low * five.grain / hour.grain)
  local before = seam * hour.grain / five.grain - 1
  local a1, b1 = bins_in(v, five, form, fine_at, fine_n, newest, before, low)
  local after = floor((t - NEWCOMER_AFTER) / hour.grain)
  local a2, b2 = bins_in(v, hour, form, coarse_at, coarse_n, newest, after, seam - 1)
  return bits_in(band(a, bnot(bor(a1, a2)))) + bits_in(band(b, bnot(bor(b1, b2))))
end

-- For each of `slots`, the number of standing reports between from and to that became so in its window.
local function reported(v, from, to, newest, t, slots)
  local kept, counts = newest - RETENTION, {}
  for i = 1, #slots do counts[i] = 0 end
  for at = from + 1, to, REPORT_SIZE do
    local _, opened, confirmed, final = su(REPORT, v, at)
    if final == 0 or final <= kept then
      for i, slot in ipairs(slots) do
        local x = slot.open and opened or confirmed
        if x > 0 and x > kept and x > t - slot.length and x <= t then counts[i] = counts[i] + 1 end
      end
    end
  end
  return unpack(counts)
end

-- Of the n latest payments in (after, t]: how many of this amount, how many just under a limit.
local function like_amounts(v, base, n, newest, after, t, amount)
  local same, under = 0, 0
  if after < newest - RECENT_KEEP then after = newest - RECENT_KEEP end
  for at = base + (n - 1) * RECENT_SIZE + 1, base + 1, -RECENT_SIZE do
    local time, x = su(RECENT, v, at)
    if time <= after then break end
    if time <= t then
      if x == amount then same = same + 1 end
      for _, limit in ipairs(JUST_UNDER) do
        if x >= limit[1] and x <= limit[2] then under = under + 1 end
      end
    end
  end
  return same, under
end

local function carry(low, high)
  if low >= WIDE then return low - WIDE, high + 1 end
  return low, high
end

-- The bins of one tile are 64 bits; a counterparty's is told by its hash.
local function bin_of(cp)
  local bin = byte(cp) % BINS
  return sp('<I4I4', bin < 32 and 2 ^ bin or 0, bin >= 32 and 2 ^ (bin - 32) or 0)
end

-- `s` with the bin of this counterparty set in the eight bytes at `at`.
local function marked(s, at, cp)
  local bin = byte(cp) % BINS
  local here = at + floor(bin / 8)
  local old, bit_ = byte(s, here), 2 ^ (bin % 8)
  if old % (2 * bit_) >= bit_ then return s end
  return sub(s, 1, here - 1) .. string.char(old + bit_) .. sub(s, here + 1)
end

local MAX = { [4] = '<I4', [5] = '<I5' }

-- `s` with the maximum at `at` at least this amount.
local function raised(s, at, width, amount)
  if su(MAX[width], s, at) >= amount + BIAS then return s end
  return sub(s, 1, at - 1) .. sp(MAX[width], amount + BIAS) .. sub(s, at + width)
end

-- The n counterparties behind `base` with this one, who is the latest.
local function with_latest(v, base, n, t, cp)
  local kept, first, stop = t - CP_KEEP, base + 1, base + n * CP_SIZE
  while first < stop and su('<I6', v, first) <= kept do first = first + CP_SIZE end
  local p = find(v, cp, first + 6, true)
  while p and p < stop and (p - first) % CP_SIZE ~= 6 do p = find(v, cp, p + 1, true) end
  if p and p < stop then return sub(v, first, p - 7) .. sub(v, p + 6, stop) .. sp('<I6', t) .. cp end
  if stop - first + 1 == CP_CAP * CP_SIZE then first = first + CP_SIZE end
  return sub(v, first, stop) .. sp('<I6', t) .. cp
end

-- The same for one of any time.
local function with_counterparty(v, base, n, newest, t, cp)
  if n == 0 or su('<I6', v, base + (n - 1) * CP_SIZE + 1) < t then return with_latest(v, base, n, t, cp) end
  local s, kept = sub(v, base + 1, base + n * CP_SIZE), newest - CP_KEEP
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

-- The n latest payments behind `base`, with this one.
local function with_recent(v, base, n, newest, t, amount)
  local kept = newest - RECENT_KEEP
  if n == 0 or su('<I6', v, base + (n - 1) * RECENT_SIZE + 1) < t then
    local first, stop = base + 1, base + n * RECENT_SIZE
    if n == RECENT_CAP then first = first + RECENT_SIZE end
    while first < stop and su('<I6', v, first) <= kept do first = first + RECENT_SIZE end
    return sub(v, first, stop) .. sp(RECENT, t, amount)
  end
  local s = sub(v, base + 1, base + n * RECENT_SIZE)
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

-- The reports between from and to, but for the first ones that fell behind.
local function standing_reports(v, from, to, newest)
  local kept = newest - RETENTION
  while from < to do
    local _, opened, confirmed, final = su(REPORT, v, from + 1)
    if max(opened, confirmed, final) > kept then break end
    from = from + REPORT_SIZE
  end
  return sub(v, from + 1, to)
end

-- The slow way, for a payment that is late, that begins a life or that outgrows the narrow form: all of the
-- entity as a table, and back.

local function blank(kind)
  local e = { N = 0, F = 0, C = 0, SL = 0, SH = 0, QL = 0, QH = 0, D = 0, PN = 0, PF = 0, M = 0, levels = {},
              parties = '', reports = '', latest = '' }
  for i = 1, #kind.levels do e.levels[i] = {} end
  return e
end

local function tile_at(level, wide, v, at)
  local tile, a, b, c, d = { sl = 0, sh = 0, ql = 0, qh = 0 }, su(wide and level.wide or level.narrow, v, at)
  tile.c = a
  if wide then
    tile.sl, tile.sh, tile.ql, tile.qh, tile.index = su(level.wide_rest, v, at + 5)
  elseif level.squares then tile.sl, tile.ql, tile.index = b, c, d
  elseif level.sums then tile.sl, tile.index = b, c
  else tile.index = b end
  return tile
end

local function open_entity(kind, v)
  local e, h, k, n = blank(kind), { su(kind.head, v) }, #kind.levels, {}
  local wide, nc, nx, nr
  wide, e.N, e.F, nc, nx, nr, e.C, e.SL, e.QL, e.D = unpack(h, 1, 10)
  e.SH, e.QH, e.PN, e.PF, e.M = unpack(h, 11 + k)
  e.wide = wide == 1
  local form, pos = e.wide and 'wide' or 'narrow', kind.head_size
  for i, level in ipairs(kind.levels) do
    local size, width, tiles = h[10 + i], level[form .. '_width'], e.levels[i]
    local maxima = pos + size * width
    local bins = maxima + size * level[form .. '_max']
    for p = 1, size do
      local tile = tile_at(level, e.wide, v, pos + (p - 1) * width + 1)
      local m = level[form .. '_max']
      if m > 0 then tile.max = su(MAX[m], v, maxima + (p - 1) * m + 1) - BIAS end
      if level.bins > 0 then tile.bins = sub(v, bins + (p - 1) * 8 + 1, bins + p * 8) end
      tiles[p] = tile
    end
    pos = bins + size * level.bins
  end
  local reports = pos + nc * CP_SIZE
  local latest = reports + nr * REPORT_SIZE
  e.parties, e.reports = sub(v, pos + 1, reports), sub(v, reports + 1, latest)
  e.latest = sub(v, latest + 1)
  return e
end

local function packed_tile(level, wide, tile)
  if wide then return sp(level.wide, tile.c, tile.sl, tile.sh, tile.ql, tile.qh, tile.index) end
  if level.squares then return sp(level.narrow, tile.c, tile.sl, tile.ql, tile.index) end
  if level.sums then return sp(level.narrow, tile.c, tile.sl, tile.index) end
  return sp(level.narrow, tile.c, tile.index)
end

local function packed(kind, e)
  local parts, n = { '' }, {}
  for i, level in ipairs(kind.levels) do
    local m, tiles, maxima, bins = e.wide and level.wide_max or level.narrow_max, {}, {}, {}
    for p, tile in ipairs(e.levels[i]) do
      tiles[p] = packed_tile(level, e.wide, tile)
      if m > 0 then maxima[p] = sp(MAX[m], tile.max + BIAS) end
      if level.bins > 0 then bins[p] = tile.bins end
    end
    n[i] = #tiles
    parts[#parts + 1] = table.concat(tiles) .. table.concat(maxima) .. table.concat(bins)
  end
  local h = { e.wide and 1 or 0, e.N, e.F, #e.parties / CP_SIZE, #e.latest / RECENT_SIZE,
              #e.reports / REPORT_SIZE, e.C, e.SL, e.QL, e.D }
  for i = 1, #n do h[#h + 1] = n[i] end
  for _, x in ipairs({ e.SH, e.QH, e.PN, e.PF, e.M }) do h[#h + 1] = x end
  parts[1] = sp(kind.head, unpack(h))
  return table.concat(parts) .. e.parties .. e.reports .. e.latest
end

-- The entity with its clock moved; nil: the event is older than all that is kept, and reaches nothing.
local function advance(kind, e, t)
  if e.N == 0 then
    e.N, e.F = t, t
  elseif t > e.N + RETENTION then -- never seen: a new life; the old one's ends are kept for a late event
    local fresh = blank(kind) -- that joins the two. Reports outlast a life.
    fresh.PN, fresh.PF, fresh.M, fresh.reports = e.N, e.F, e.M, e.reports
    fresh.N, fresh.F = t, t
    return fresh
  elseif t < e.N - RETENTION then
    return nil
  else
    if t > e.N then e.N = t end
    if t < e.F then e.F = t end
    if e.PN > 0 and t - e.PN <= RETENTION then
      e.F, e.PN, e.PF = e.PF, 0, 0
    end
  end
  return e
end

local function add_to_tile(kind, tile, amount, ql, qh)
  tile.c = tile.c + 1
  tile.sl, tile.sh = carry(tile.sl + amount, tile.sh)
  tile.ql, tile.qh = carry(tile.ql + ql, tile.qh + qh)
end

-- `total`: what all payments came to before this one, as a tile.
local function add_to_level(level, tiles, e, total, t, amount, ql, qh, cp)
  local index, kept, p = floor(t / level.grain), floor(e.N / level.grain) - level.kept, #tiles
  while p > 0 and tiles[p].index > index do p = p - 1 end
  local mine = tiles[p]
  if index > kept and not (mine and mine.index == index) then
    local from = tiles[p + 1] or total
    mine = { index = index, c = from.c, sl = from.sl, sh = from.sh, ql = from.ql, qh = from.qh,
             max = 0, bins = rep('\0', 8) }
    p = p + 1
    table.insert(tiles, p, mine)
  end
  if index > kept then mine.max, mine.bins = max(mine.max or 0, amount), mine.bins and marked(mine.bins, 1, cp) end
  for later = p + 1, #tiles do add_to_tile(level, tiles[later], amount, ql, qh) end
  while tiles[1] and tiles[1].index <= kept do table.remove(tiles, 1) end
end

local function add_slowly(kind, v, t, amount, ql, qh, cp, night)
  local e = advance(kind, v and open_entity(kind, v) or blank(kind), t)
  if not e then return v end
  if not kind.squares then ql, qh = 0, 0 end
  for i, level in ipairs(kind.levels) do
    local total = { c = level.night and e.D or e.C, sl = e.SL, sh = e.SH, ql = e.QL, qh = e.QH }
    if night == 1 or not level.night then
      add_to_level(level, e.levels[i], e, total, t, amount, ql, qh, cp)
    end
  end
  e.C, e.D = e.C + 1, e.D + night
  if kind.sums then e.SL, e.SH = carry(e.SL + amount, e.SH) end
  e.QL, e.QH = carry(e.QL + ql, e.QH + qh)
  e.wide = e.wide or e.C >= NARROW_COUNT or amount >= NARROW_SUM or e.SL >= NARROW_SUM or e.SH > 0
    or e.QL >= NARROW_SQUARES or e.QH > 0
  if kind.parties then e.parties = with_counterparty(e.parties, 0, #e.parties / CP_SIZE, e.N, t, cp) end
  e.reports = standing_reports(e.reports, 0, #e.reports, max(e.N, e.M))
  if kind.recent then e.latest = with_recent(e.latest, 0, #e.latest / RECENT_SIZE, e.N, t, amount) end
  return packed(kind, e)
end

-- The value with a report told of the entity; v is '' for one that was never seen.
local function labelled(kind, v, transaction, at, status)
  local e = v and open_entity(kind, v) or blank(kind)
  if at > e.M then e.M = at end
  local kept = max(e.N, e.M) - RETENTION
  local reports = standing_reports(e.reports, 0, #e.reports, max(e.N, e.M))
  if at > kept then
    local opened, confirmed, final = 0, 0, 0
    local p = find_record(reports, transaction, REPORT_SIZE, 0, 0)
    if p then -- times that fell behind are forgotten; the record goes to the end, the latest that was told of
      local _, o, c, f = su(REPORT, reports, (p - 1) * REPORT_SIZE + 1)
      opened, confirmed, final = o > kept and o or 0, c > kept and c or 0, f > kept and f or 0
      reports = sub(reports, 1, (p - 1) * REPORT_SIZE) .. sub(reports, p * REPORT_SIZE + 1)
    end
    if status == 0 then opened = (opened == 0 or at < opened) and at or opened
    elseif status == 1 then confirmed = (confirmed == 0 or at < confirmed) and at or confirmed
    elseif at > final then final = at end
    reports = reports .. sp(REPORT, transaction, opened, confirmed, final)
  end
  e.reports = reports
  return packed(kind, e)
end

-- (what redis_codegen.py writes)

for _, part in ipairs(PARTS) do
  part.size = part.to - part.from + 1
  part.width = 8 * part.size
  part.none = rep('\0', part.width)
end

-- Values of this call by key, false for none; each is fetched once and written once, however often it
-- occurs. `keys` are one event's, by view.
local values, touched, is_touched = {}, {}, {}
local rings, touched_rings = {}, {}
for _, view in ipairs(VIEWS) do view.prefix = ARGV[1] .. KINDS[view.kind].name .. ':' end

local function value_of(key)
  local v = values[key]
  if v == nil then
    v = redis.call('GET', key)
    values[key] = v
  end
  return v
end

local function keep(key, v)
  values[key] = v
  if not is_touched[key] then
    is_touched[key] = true
    touched[#touched + 1] = key
  end
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

-- Read the parts of `mask`, all of them before any is applied. Rows are appended to `rows`, one string a part.
local function read_parts(mask, t, amount, ids, rows)
  for k = 1, #PARTS do
    if band(mask, PART_BITS[k]) ~= 0 then
      local part, row = PARTS[k], ''
      local other = sub(ids[part.other], 1, 6)
      for i = 1, #part.views do
        local view = VIEWS[part.views[i]]
        local v = value_of(view.prefix .. ids[view.id])
        row = row .. (v and READ[view.number][byte(v) + 1](v, t, amount, other) or NONE[view.number])
      end
      rows[k] = row
    end
  end
end

local function apply_parts(mask, t, amount, ids)
  local reais = floor((amount + 50) / 100)
  local square = math.min(reais * reais, EXACT_MAX)
  local qh = floor(square / WIDE)
  local ql = square - qh * WIDE
  local hour = floor((t + LOCAL_OFFSET) / HOUR) % 24
  local night = (hour >= NIGHT_FROM or hour < NIGHT_TO) and 1 or 0
  for k = 1, #PARTS do
    if band(mask, PART_BITS[k]) ~= 0 then
      local part = PARTS[k]
      local cp = sub(ids[part.other], 1, 6)
      for i = 1, #part.applied do
        local view = VIEWS[part.applied[i]]
        local key = view.prefix .. ids[view.id]
        local v = value_of(key)
        if v then
          keep(key, ADD[view.kind][byte(v) + 1](v, t, amount, ql, qh, cp, night))
        else
          keep(key, BEGIN[view.kind](t, amount, ql, qh, cp, night))
        end
      end
    end
  end
end

local function label_parts(mask, t, status, transaction, ids)
  for k = 1, #PARTS do
    if band(mask, PART_BITS[k]) ~= 0 then
      local view = VIEWS[PARTS[k].labelled]
      local key = view.prefix .. ids[view.id]
      keep(key, labelled(KINDS[view.kind], value_of(key), transaction, t, status))
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

local stored_number, stored_life = string.match(redis.call('GET', KEYS[1]) or '-1 0', '(%S+) (%S+)')
local counter, life = tonumber(stored_number), tonumber(stored_life)
local began, known_life = tonumber(ARGV[6]), tonumber(ARGV[8])
local number, behind, healing = counter, false, false
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
if #spans > 0 and not healing then
  if counter < tonumber(ARGV[7]) or (known_life ~= 0 and life ~= known_life) then behind = true end
end
if behind then return { 1 } end
-- Lives are clocks: an earlier one than known is an older snapshot's.
if life == 0 or (ARGV[9] == '1' and life <= known_life) then
  life, number = began, max(number, began)
end
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
for _, key in ipairs(touched) do redis.call('SET', key, values[key], 'EX', ARGV[5]) end
for _, ring in ipairs(touched_rings) do redis.call('SET', ring.key, ring.value, 'EX', ARGV[5]) end
if #spans > 0 and (number ~= counter or life ~= tonumber(stored_life)) then
  redis.call('SET', KEYS[1], string.format('%.0f %.0f', number, life))
end
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
  if s.over then redis.call('LTRIM', passed, -PASSED_CAP, -1) end
  while s.healing do -- what is no longer in the log is not healed from it
    local oldest = redis.call('LINDEX', passed, 0)
    if not oldest or tonumber(oldest) >= s.lowest then break end
    redis.call('LPOP', passed)
  end
end
local joined = {}
for k = 1, #PARTS do joined[k] = table.concat(answers[k]) end
return { 0, string.format('%.0f', number), string.format('%.0f', life), table.concat(statuses), table.concat(numbers), joined, decided }
