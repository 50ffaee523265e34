-- One call on one shard: read each transaction's windows, then apply it, in order; all writes come last, so
-- that a call that fails anywhere has changed nothing. What redis_codegen.py writes for the catalog is put in
-- where a line is `-- (name)`, and constants, these and redis_plan.py's, are folded into the text; docs/adr/0003
-- gives the layout and what it costs. Redis runs this text from its top at every call: what few calls need
-- (the plan's tables, functions for one view or kind, the slow ways) is made when it is first asked for.
--
-- KEYS    the shard's counter, then one log each span
-- ARGV    key prefix, spans, entries, versions, TTL in seconds, the number that a new life of the shard
--         begins at, the greatest number that the caller saw, the life that it knows, 1 to renew that life
-- answer  {0, number, life, statuses, {index, number, ...}, {rows of each part}, {index, versions, ...}}, {1} when
--         behind. What was applied now has the numbers up to `number`, in order; of what was applied before,
--         number and versions are listed
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

local sp, su, call = struct.pack, struct.unpack, redis.call
local sub, find, rep, floor, max, byte = string.sub, string.find, string.rep, math.floor, math.max, string.byte
local least, char = math.min, string.char
local WIDE = 2 ^ 48 -- totals are pairs (low 48 bits, the rest): exact where a double alone would round
local BIAS = 2 ^ 24 -- added to each stored maximum: see `largest`
-- From these on tiles are written wide. The sum's leaves room for BIAS in the 32 bits of a maximum.
local NARROW_COUNT = 2 ^ 16
local NARROW_SUM = 2 ^ 32 - 2 ^ 24
local NARROW_SQUARES = 2 ^ 40
local CP, CP_SIZE = '<I6I6', 12 -- last time, counterparty
local REPORT, REPORT_SIZE = '<c8I6I6I6', 26 -- transaction, first OPEN, first CONFIRMED, last final
local RECENT, RECENT_SIZE = '<I6I5', 11 -- time, amount
local NEWEST_AT, REPORTS_AT = 2, 15 -- in the head: the newest time, and behind what the number of reports is
local RING_HEAD, RING_ID, RING_ENTRY = 6, 8, 16 -- newest time; then each: hash of id, hash of content
local ENTRY, ENTRY_SIZE = '<I1I1I2I8I8I8c8c8c12c12c12c12c12', 104
local HOUR, DAY = 3600000, 86400000
local APPLIED, STORED, STALE, REPEAT, REUSED, REPLAYED = 0, 1, 2, 3, 4, 5
local PASSED_CAP = 200000 -- offsets a log and shard, about 2 MB
local ASK_RING, READ_ONLY = 16, 32 -- in a mask, above the bits of the parts

-- (plan)

-- Position of the last of n records behind `base`, sorted by their first field, with it <= target; 0 if
-- there is none.
local function locate(s, base, n, width, field, target)
  local lo, hi = 0, n
  while lo < hi do
    local mid = (lo + hi + 1 - (lo + hi + 1) % 2) / 2
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


-- How many of the n counterparties have a last time <= `after`, of which at least `known` are known to. It is
-- sought from the newest back: they are mostly few. The last one's is the newest payment's, so behind `after`.
local function not_after(v, cps, n, newest, after, known)
  if after < newest - CP_KEEP then after = newest - CP_KEEP end
  local hi, step = n - 1, 1
  while hi >= known + step do
    local p = hi - step + 1
    if su('<I6', v, cps + (p - 1) * CP_SIZE + 1) <= after then
      known = p
      break
    end
    hi, step = p - 1, step * 2
  end
  while known < hi do
    local mid = (known + hi + 1 - (known + hi + 1) % 2) / 2
    if su('<I6', v, cps + (mid - 1) * CP_SIZE + 1) <= after then known = mid else hi = mid - 1 end
  end
  return known
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
      if JUST_UNDER then under = under + 1 end
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
  return sub(s, 1, here - 1) .. char(old + bit_) .. sub(s, here + 1)
end

local MAX = { [4] = '<I4', [5] = '<I5' }

-- `s` with the maximum at `at` at least this amount.
local function raised(s, at, width, amount)
  if su(MAX[width], s, at) >= amount + BIAS then return s end
  return sub(s, 1, at - 1) .. sp(MAX[width], amount + BIAS) .. sub(s, at + width)
end

-- The n counterparties behind `base` with this one, in three pieces; here it is the latest.
local function with_latest(v, base, n, t, cp)
  local kept, first, stop = t - CP_KEEP, base + 1, base + n * CP_SIZE
  while first < stop and su('<I6', v, first) <= kept do first = first + CP_SIZE end
  local p = find(v, cp, first + 6, true)
  while p and p < stop and (p - first) % CP_SIZE ~= 6 do p = find(v, cp, p + 1, true) end
  local mine = sp('<I6c6', t, cp)
  if p and p < stop then return sub(v, first, p - 7), sub(v, p + 6, stop), mine end
  if stop - first + 1 == CP_CAP * CP_SIZE then first = first + CP_SIZE end
  return sub(v, first, stop), '', mine
end

-- The same for one of any time.
local function with_counterparty(v, base, n, newest, t, cp)
  if n == 0 or su('<I6', v, base + (n - 1) * CP_SIZE + 1) < t then return with_latest(v, base, n, t, cp) end
  local s, kept = sub(v, base + 1, base + n * CP_SIZE), newest - CP_KEEP
  if t <= kept then return s, '', '' end
  local p = find_record(s, cp, CP_SIZE, 6, 0)
  if p then
    if su('<I6', s, (p - 1) * CP_SIZE + 1) >= t then return s, '', '' end
    s, n = sub(s, 1, (p - 1) * CP_SIZE) .. sub(s, p * CP_SIZE + 1), n - 1
  end
  local mine, at = su('<I6', cp), n
  while at > 0 do -- from the newest: in order, this ends at once
    local time, other = su(CP, s, (at - 1) * CP_SIZE + 1)
    if time < t or (time == t and other < mine) then break end
    at = at - 1
  end
  local drop = n + 1 > CP_CAP and n + 1 - CP_CAP or 0
  s = sub(s, 1, at * CP_SIZE) .. sp('<I6c6', t, cp) .. sub(s, at * CP_SIZE + 1)
  while su('<I6', s, drop * CP_SIZE + 1) <= kept do drop = drop + 1 end
  return drop > 0 and sub(s, drop * CP_SIZE + 1) or s, '', ''
end

-- The n latest payments behind `base`, with this one, in two pieces.
local function with_recent(v, base, n, newest, t, amount)
  local kept = newest - RECENT_KEEP
  if n == 0 or su('<I6', v, base + (n - 1) * RECENT_SIZE + 1) < t then
    local first, stop = base + 1, base + n * RECENT_SIZE
    if n == RECENT_CAP then first = first + RECENT_SIZE end
    while first < stop and su('<I6', v, first) <= kept do first = first + RECENT_SIZE end
    return sub(v, first, stop), sp(RECENT, t, amount)
  end
  local s = sub(v, base + 1, base + n * RECENT_SIZE)
  if t <= kept then return s, '' end
  local at = n
  while at > 0 do
    local time, other = su(RECENT, s, (at - 1) * RECENT_SIZE + 1)
    if time < t or (time == t and other <= amount) then break end
    at = at - 1
  end
  local drop = n + 1 > RECENT_CAP and n + 1 - RECENT_CAP or 0
  s = sub(s, 1, at * RECENT_SIZE) .. sp(RECENT, t, amount) .. sub(s, at * RECENT_SIZE + 1)
  while su('<I6', s, drop * RECENT_SIZE + 1) <= kept do drop = drop + 1 end
  return drop > 0 and sub(s, drop * RECENT_SIZE + 1) or s, ''
end

-- The reports between from and to, but for the first ones that fell behind.
local function standing_reports(v, from, to, newest)
  local kept = newest - RETENTION
  while from < to do
    local opened, confirmed, final = su('<I6I6I6', v, from + 9)
    if max(opened, confirmed, final) > kept then break end
    from = from + REPORT_SIZE
  end
  return sub(v, from + 1, to)
end

-- Values of this call by key, false for none; each is fetched once and written once, however often it occurs.
local values, changed = {}, {}

-- What few payments need; made when it is first asked for.
local slow
local function slowly()
  if slow then return slow end
  local bor, band, bnot = bit.bor, bit.band, bit.bnot

  -- The bins of the tiles in (low, high], as two words of 32 bits. A level's tiles are `width` wide and begin
  -- behind `base`, its bins behind `bins`.
  local function bins_in(v, grain, kept, width, base, bins, n, newest, low, high)
    kept = floor(newest / grain) - kept
    if low < kept then low = kept end
    local a, b = 0, 0
    if n == 0 or low >= high then return a, b end
    local indexes = base + width - 4
    for p = locate(v, indexes, n, width, '<I4', low) + 1, locate(v, indexes, n, width, '<I4', high) do
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
  local function newcomers(v, t, newest, fine_width, fine, fine_bins, fine_n, width, coarse, bins, n)
    local low = floor((t - HOUR) / FINE)
    local a, b = bins_in(v, FINE, FINE_KEPT, fine_width, fine, fine_bins, fine_n, newest, low, floor(t / FINE))
    if a == 0 and b == 0 then return 0 end
    local seam = floor(low * FINE / COARSE)
    local before = seam * COARSE / FINE - 1
    local a1, b1 = bins_in(v, FINE, FINE_KEPT, fine_width, fine, fine_bins, fine_n, newest, before, low)
    local after = floor((t - NEWCOMER_AFTER) / COARSE)
    local a2, b2 = bins_in(v, COARSE, COARSE_KEPT, width, coarse, bins, n, newest, after, seam - 1)
    return bits_in(band(a, bnot(bor(a1, a2)))) + bits_in(band(b, bnot(bor(b1, b2))))
  end

  -- How many days, up to the one that lies one report delay back, the payments were reported: half of a day's or
  -- more. A level's tiles are `width` wide and begin behind `base`; `total` is the count of all payments.
  local function reported_run(v, t, newest, told, total, index, size, count, width, level_kept, base, n, from, to)
    local kept, reported = max(newest, told) - RETENTION, {}
    for at = from + 9, to, REPORT_SIZE do
      local _, confirmed, final = su('<I6I6I6', v, at)
      if confirmed > 0 and confirmed > kept and confirmed <= t and (final == 0 or final <= kept) then
        local day = floor((confirmed - REPORT_DELAY) / DAY)
        reported[day] = (reported[day] or 0) + 1
      end
    end
    local judged, oldest = floor((t - REPORT_DELAY) / DAY), floor(newest / DAY) - level_kept
    local indexes = base + width - size
    local p, first = locate(v, indexes, n, width, index, judged), judged + 1
    local behind = p < n and su(count, v, base + p * width + 1) or total
    while p > 0 do
      local day, before = su(index, v, indexes + (p - 1) * width + 1), su(count, v, base + (p - 1) * width + 1)
      if day <= oldest then break end -- as everywhere, though a newer tile would have dropped it
      if 2 * (reported[day] or 0) >= behind - before then first = day
      elseif day < judged then break end
      behind, p = before, p - 1
    end
    return judged + 1 - first
  end

  -- For a payment that is late, that begins a life or that outgrows the narrow form: all of the entity as a table,
  -- and back.

  local function blank(kind)
    local e = { N = 0, F = 0, C = 0, SL = 0, SH = 0, QL = 0, QH = 0, D = 0, PN = 0, PF = 0, M = 0, levels = {},
                parties = '', reports = '', latest = '' }
    for i = 1, #kind.levels do e.levels[i] = {} end
    return e
  end

  local function tile_at(level, wide, v, at)
    local tile, values = { d = 0, sl = 0, sh = 0, ql = 0, qh = 0 }, { su(wide and level.wide or level.narrow, v, at) }
    for i, name in ipairs(wide and level.wide_fields or level.narrow_fields) do tile[name] = values[i] end
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
    local values = {}
    for i, name in ipairs(wide and level.wide_fields or level.narrow_fields) do values[i] = tile[name] end
    return sp(wide and level.wide or level.narrow, unpack(values))
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

  local function add_to_tile(tile, amount, ql, qh, night)
    tile.c, tile.d = tile.c + 1, tile.d + night
    tile.sl, tile.sh = carry(tile.sl + amount, tile.sh)
    tile.ql, tile.qh = carry(tile.ql + ql, tile.qh + qh)
  end

  -- `total`: what all payments came to before this one, as a tile.
  local function add_to_level(level, tiles, e, total, t, amount, ql, qh, cp, night)
    local index, kept, p = floor(t / level.grain), floor(e.N / level.grain) - level.kept, #tiles
    while p > 0 and tiles[p].index > index do p = p - 1 end
    local mine = tiles[p]
    if index > kept and not (mine and mine.index == index) then
      local from = tiles[p + 1] or total
      mine = { index = index, c = from.c, d = from.d, sl = from.sl, sh = from.sh, ql = from.ql, qh = from.qh,
               max = 0, bins = rep('\0', 8) }
      p = p + 1
      table.insert(tiles, p, mine)
    end
    if index > kept then mine.max, mine.bins = max(mine.max or 0, amount), mine.bins and marked(mine.bins, 1, cp) end
    for later = p + 1, #tiles do add_to_tile(tiles[later], amount, ql, qh, night) end
    while tiles[1] and tiles[1].index <= kept do table.remove(tiles, 1) end
  end

  local function joined(...) return table.concat({ ... }) end

  -- k fields of a format, as one.
  local runs = {}
  local function run(format, k)
    local key = format .. k
    runs[key] = runs[key] or '<' .. rep(sub(format, 2), k)
    return runs[key]
  end

  -- The totals of a tile, or of several one behind the other, with this payment in them.
  local function add_to_totals(x, fields, amount, ql, qh, night)
    local stride, added = #fields, { c = 1, d = night, sl = amount, sh = 0, ql = ql, qh = qh, index = 0 }
    for j, name in ipairs(fields) do
      local plus = added[name]
      if plus > 0 then
        for at = j, #x, stride do x[at] = x[at] + plus end
      end
    end
    for j, name in ipairs(fields) do
      if fields[j + 1] == 'sh' or fields[j + 1] == 'qh' then
        for at = j, #x, stride do x[at], x[at + 1] = carry(x[at], x[at + 1]) end
      end
    end
  end

  -- One level, from `pos` on, with a late payment in it: the tiles that begin behind it are written anew, all in
  -- one go. `total`: the entity's own by field. Also how many tiles there are then.
  local function level_with_late(level, form, v, pos, n, newest, total, t, amount, ql, qh, cp, night, sums)
    local fields, width, m = level[form .. '_fields'], level[form .. '_width'], level[form .. '_max']
    local index, from = floor(t / level.grain), pos + width - level.index_size + 1
    local p = n
    while p > 0 and su(level.index, v, from + (p - 1) * width) > index do p = p - 1 end
    local mine = p > 0 and su(level.index, v, from + (p - 1) * width) == index
    local begins = not mine and index > floor(newest / level.grain) - level.kept
    local behind, fresh = '', {}
    if begins then
      for j, name in ipairs(fields) do fresh[j] = total[name] or index end
    end
    if p < n then
      local format = run(level[form], n - p)
      local x = { su(format, v, pos + p * width + 1) }
      x[#x] = nil -- the position behind them
      if begins then
        for j = 1, #fields - 1 do fresh[j] = x[j] end
      end
      add_to_totals(x, fields, sums and amount or 0, ql, qh, night)
      behind = sp(format, unpack(x))
    end
    local tile = begins and sp(level[form], unpack(fresh)) or ''
    local maxima, bins = pos + n * width, pos + n * (width + m)
    local pieces = { sub(v, pos + 1, pos + p * width), tile, behind }
    if m > 0 then
      local before = sub(v, maxima + 1, maxima + p * m)
      if mine then before = raised(before, (p - 1) * m + 1, m, amount) end
      if begins then before = before .. sp(MAX[m], amount + BIAS) end
      pieces[#pieces + 1] = before .. sub(v, maxima + p * m + 1, bins)
    end
    if level.bins > 0 then
      local before = sub(v, bins + 1, bins + p * 8)
      if mine then before = marked(before, (p - 1) * 8 + 1, cp) end
      if begins then before = before .. bin_of(cp) end
      pieces[#pieces + 1] = before .. sub(v, bins + p * 8 + 1, bins + n * 8)
    end
    return table.concat(pieces), begins and n + 1 or n
  end

  -- The value with a payment that is late, but of the same life; `h` is its head.
  local function add_late(kind, v, h, t, amount, ql, qh, cp, night)
    local k, form, pos, pieces = #kind.levels, h[1] == 1 and 'wide' or 'narrow', kind.head_size, { '' }
    local N, nc, nx, nr = h[2], h[4], h[5], h[6]
    local total = { c = h[7], sl = h[8], ql = h[9], d = h[10], sh = h[11 + k], qh = h[12 + k] }
    for i, level in ipairs(kind.levels) do
      local n = h[10 + i]
      pieces[i + 1], h[10 + i] =
        level_with_late(level, form, v, pos, n, N, total, t, amount, ql, qh, cp, night, kind.sums)
      pos = pos + n * (level[form .. '_width'] + level[form .. '_max'] + level.bins)
    end
    local reports = pos + nc * CP_SIZE
    local recent = reports + nr * REPORT_SIZE
    if kind.parties then
      local parties, others, mine = with_counterparty(v, pos, nc, N, t, cp)
      pieces[#pieces + 1] = parties .. others .. mine
      h[4] = #pieces[#pieces] / CP_SIZE
    end
    pieces[#pieces + 1] = sub(v, reports + 1, recent)
    if kind.recent then
      local latest, this = with_recent(v, recent, nx, N, t, amount)
      pieces[#pieces + 1] = latest .. this
      h[5] = #pieces[#pieces] / RECENT_SIZE
    end
    h[3] = t < h[3] and t or h[3]
    h[7], h[10] = h[7] + 1, h[10] + night
    if kind.sums then h[8], h[11 + k] = carry(h[8] + amount, h[11 + k]) end
    h[9], h[12 + k] = carry(h[9] + ql, h[12 + k] + qh)
    pieces[1] = sp(kind.head, unpack(h, 1, 15 + k))
    return table.concat(pieces)
  end

  -- Whether these totals of an entity, with a payment in them, or the payment itself need the wide form.
  local function outgrown(amount, count, sl, sh, ql, qh)
    return count >= NARROW_COUNT or amount >= NARROW_SUM or sl >= NARROW_SUM or sh > 0
      or ql >= NARROW_SQUARES or qh > 0
  end

  -- Whether it only comes late: nothing begins, ends or outgrows its field.
  local function only_late(kind, h, t, amount, ql, qh)
    local N, PN = h[2], h[13 + #kind.levels]
    if N == 0 or t > N or t < N - RETENTION or (PN > 0 and t - PN <= RETENTION) then return false end
    return h[1] == 1 or not outgrown(amount, h[7] + 1, h[8] + amount, 0, h[9] + ql, qh)
  end

  local function add_slowly(kind, v, t, amount, ql, qh, cp, night)
    if not kind.squares then ql, qh = 0, 0 end
    local h = v and { su(kind.head, v) }
    if h and only_late(kind, h, t, amount, ql, qh) then
      return add_late(kind, v, h, t, amount, ql, qh, cp, night)
    end
    local e = advance(kind, v and open_entity(kind, v) or blank(kind), t)
    if not e then return v end
    local total = { c = e.C, d = e.D, sl = e.SL, sh = e.SH, ql = e.QL, qh = e.QH }
    for i, level in ipairs(kind.levels) do
      add_to_level(level, e.levels[i], e, total, t, amount, ql, qh, cp, night)
    end
    e.C, e.D = e.C + 1, e.D + night
    if kind.sums then e.SL, e.SH = carry(e.SL + amount, e.SH) end
    e.QL, e.QH = carry(e.QL + ql, e.QH + qh)
    e.wide = e.wide or outgrown(amount, e.C, e.SL, e.SH, e.QL, e.QH)
    if kind.parties then e.parties = joined(with_counterparty(e.parties, 0, #e.parties / CP_SIZE, e.N, t, cp)) end
    e.reports = standing_reports(e.reports, 0, #e.reports, max(e.N, e.M))
    if kind.recent then e.latest = joined(with_recent(e.latest, 0, #e.latest / RECENT_SIZE, e.N, t, amount)) end
    return packed(kind, e)
  end

  -- Where the reports of a value begin and end.
  local function reports_in(kind, v)
    local h, at = { su(kind.head, v) }, kind.head_size
    local form = h[1] == 1 and 'wide' or 'narrow'
    for i, level in ipairs(kind.levels) do
      at = at + h[10 + i] * (level[form .. '_width'] + level[form .. '_max'] + level.bins)
    end
    at = at + h[4] * CP_SIZE
    return at, at + h[6] * REPORT_SIZE
  end

  -- The value with a report told of the entity; v is false for one that was never seen.
  local function labelled(kind, v, transaction, at, status)
    v = v or packed(kind, blank(kind))
    local from, to = reports_in(kind, v)
    local newest_report = max(at, (su('<I6', v, kind.head_size - 5)))
    local newest = max(newest_report, (su('<I6', v, NEWEST_AT)))
    local kept, reports = newest - RETENTION, standing_reports(v, from, to, newest)
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
    return sub(v, 1, REPORTS_AT) .. sp('<I4', #reports / REPORT_SIZE) .. sub(v, REPORTS_AT + 5, kind.head_size - 6)
      .. sp('<I6', newest_report) .. sub(v, kind.head_size + 1, from) .. reports .. sub(v, to + 1)
  end

  -- The parts of `mask`, as a list.
  local function parts_of(mask)
    local parts = {}
    for k, part in ipairs(plan().parts) do
      if floor(mask / 2 ^ (k - 1)) % 2 == 1 then parts[#parts + 1] = part end
    end
    return parts
  end

  local function label_parts(mask, t, status, transaction, ids)
    for _, part in ipairs(parts_of(mask)) do
      local kind = plan().kinds[part.labelled]
      local key = ARGV[1] .. kind.name .. ':' .. ids[part.number]
      local v = values[key]
      if v == nil then v = call('GET', key) end
      v = labelled(kind, v, transaction, t, status)
      values[key], changed[key] = v, v
    end
  end

  -- The answers that earlier calls gave between floor and next, by offset; read only after a redelivery.
  local function remembered(span)
    if span.stored then return span.stored end
    span.stored = {}
    local kept = call('LRANGE', span.key .. ':answers', 0, -1)
    for i = 2, #kept, 2 do
      local item = kept[i]
      local length = su('<I2', item)
      local versions, at = sub(item, 3, 2 + length), 3 + length
      while at <= #item do
        local offset, status, mask, number = su('<I8I1I1I8', item, at)
        local rows = {}
        at = at + 18
        for _, part in ipairs(parts_of(mask)) do
          rows[part.number] = sub(item, at, at + part.width - 1)
          at = at + part.width
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
      for _, offset in ipairs(call('LRANGE', span.key .. ':passed', 0, -1)) do
        span.passed[tonumber(offset)] = true
      end
    end
    return span.passed
  end

  slow = {
    newcomers = newcomers, reported_run = reported_run, add = add_slowly, label_parts = label_parts,
    remembered = remembered, passed_over = passed_over,
  }
  return slow
end

-- (functions)

-- What the payer's ring says of an event; one that it does not know is remembered.
local function ask_ring(payer, t, id, content, replay)
  local key = ARGV[1] .. 'ring:' .. payer
  local ring = values[key] or call('GET', key) or ''
  local p = ring ~= '' and find_record(ring, id, RING_ENTRY, 0, RING_HEAD)
  if p then
    values[key] = ring
    local at = RING_HEAD + (p - 1) * RING_ENTRY + RING_ID
    if sub(ring, at + 1, at + 8) ~= content then return REUSED end
    return replay and REPLAYED or REPEAT
  end
  local newest, from = 0, RING_HEAD + 1
  if ring ~= '' then newest = su('<I6', ring) end
  if newest > 0 and t - newest > RETENTION then -- the payer reads as never seen
    from = #ring + 1
  elseif #ring == RING_HEAD + RING_SIZE * RING_ENTRY then
    from = from + RING_ENTRY
  end
  ring = sp('<I6', max(newest, t)) .. sub(ring, from) .. id .. content
  values[key], changed[key] = ring, ring
  return APPLIED
end

local stored_number, stored_life = string.match(call('GET', KEYS[1]) or '-1 0', '(%S+) (%S+)')
local counter, life = tonumber(stored_number), tonumber(stored_life)
local began, known_life = tonumber(ARGV[6]), tonumber(ARGV[8])
local number, behind, healing = counter, false, false
local about = sp('<I2', #ARGV[4]) .. ARGV[4] -- whose answers a log's are
local spans = {}
for i = 2, #KEYS do
  local key = KEYS[i]
  local lowest, start, stop, heals = su('<I8I8I8I1', ARGV[2], (i - 2) * 25 + 1)
  local state = call('HMGET', key, 'floor', 'next')
  local floor_, next_ = tonumber(state[1] or 0), tonumber(state[2] or 0)
  local s = {
    key = key, stop = stop, healing = heals == 1, lowest = lowest, log = { about }, floor = floor_, next = next_,
    -- A log that was never seen is written even if it stands at 0: it is no longer unknown.
    stored_floor = state[1] and floor_ or -1, stored_next = next_,
  }
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

local statuses, count, numbered, decided, unlogged = {}, 0, {}, {}, {}
-- (before the entries)
for from = 1, #ARGV[3], ENTRY_SIZE do
  local kind, mask, at, offset, t, amount, id, content, payer, payee, pair, device, payee_key =
    su(ENTRY, ARGV[3], from)
  local span, status, told, rows = spans[at + 1], STALE, false, nil
  local parts = kind == 2 and 0 or mask % ASK_RING -- those that are answered
  if not span or offset >= span.next then
    status = APPLIED
    if kind == 2 then slowly().label_parts(mask, t, amount, id, { payer, payee, device, payee_key })
    elseif mask >= READ_ONLY then status = REPLAYED
    elseif mask >= ASK_RING then status = ask_ring(payer, t, id, content, kind == 1) end
    told = status == APPLIED or status == REPLAYED
    local mine = 0
    if mask == ASK_RING then
      if status ~= APPLIED then
        span.over = span.over or {}
        span.over[#span.over + 1] = offset
      end
    elseif status == APPLIED then
      number = number + 1
      mine = number
    end
    local log, n = unlogged, 1
    if span and not span.healing then
      log = span.log
      n = #log + 1
      log[n] = sp('<I8I1I1I8', offset, status, told and parts or 0, mine)
    end
    if told and parts > 0 then
      local to_payee, to_payer, take = sub(payee, 1, 6), sub(payer, 1, 6), status == APPLIED
      local reais = (amount + 50 - (amount + 50) % 100) / 100
      local square = reais * reais
      if square > EXACT_MAX then square = EXACT_MAX end
      local ql = square % WIDE
      local qh = (square - ql) / WIDE
      local hour = (t + LOCAL_OFFSET) % DAY / HOUR
      local night = (hour >= NIGHT_FROM or hour < NIGHT_TO) and 1 or 0
      -- (read and apply)
    end
  elseif offset >= span.floor then
    local known = slowly().remembered(span)[offset]
    if known then
      status, rows = known[1] == APPLIED and STORED or known[1], known[3]
      if known[2] > 0 then
        numbered[#numbered + 1], numbered[#numbered + 2] = count, string.format('%d', known[2])
      end
      if status == STORED and kind ~= 2 then
        decided[#decided + 1], decided[#decided + 2] = count, known[4]
      end
    end
  elseif span.healing and mask == ASK_RING then
    status = slowly().passed_over(span)[offset] and REPEAT or STORED
  end
  count = count + 1
  statuses[count] = status
  if parts > 0 and not told then
    -- (answer without reading)
  end
end

-- Nothing was written until here.
for key, v in pairs(changed) do call('SET', key, v, 'EX', ARGV[5]) end
if #spans > 0 and (number ~= counter or life ~= tonumber(stored_life)) then
  call('SET', KEYS[1], string.format('%d %d', number, life))
end
for _, s in ipairs(spans) do
  if s.stop > s.next then s.next = s.stop end
  if s.healing and s.stop > s.floor then s.floor = s.stop end
  local kept = s.key .. ':answers'
  if s.floor ~= s.stored_floor or s.next ~= s.stored_next then
    call('HSET', s.key, 'floor', string.format('%d', s.floor), 'next', string.format('%d', s.next))
  end
  local gone = 0 -- two elements a call: its stop, and its answers, which are large and not to be read for it
  while s.floor > s.stored_floor do
    local stop = call('LINDEX', kept, gone)
    if not stop or tonumber(stop) > s.floor then break end
    gone = gone + 2
  end
  if gone > 0 then call('LTRIM', kept, gone, -1) end
  if #s.log > 1 then
    call('RPUSH', kept, string.format('%d', s.stop), table.concat(s.log))
    call('EXPIRE', kept, ARGV[5])
  end
  local passed = s.key .. ':passed'
  for _, offset in ipairs(s.over or {}) do call('RPUSH', passed, string.format('%d', offset)) end
  if s.over then call('LTRIM', passed, -PASSED_CAP, -1) end
  while s.healing do -- what is no longer in the log is not healed from it
    local oldest = call('LINDEX', passed, 0)
    if not oldest or tonumber(oldest) >= s.lowest then break end
    call('LPOP', passed)
  end
end
local joined = {}
for k, answered in ipairs(answers) do joined[k] = table.concat(answered) end
local told = {}
for i = 1, count, 100 do told[#told + 1] = char(unpack(statuses, i, least(i + 99, count))) end
return { 0, string.format('%d', number), string.format('%d', life), table.concat(told), numbered, joined, decided }
