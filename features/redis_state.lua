-- One call: read each transaction's windows, then apply it, in order; all writes come last, so that a
-- call that fails anywhere has changed nothing. redis_state.py puts the plan (generated from the catalog)
-- in front of this text; docs/adr/0003 gives the layout and what it costs.
--
-- KEYS    one log each span
-- ARGV    key prefix, spans, entries, versions, TTL in seconds
-- answer  {0, statuses, rows, {index, versions, ...}} or {1, {span, floor, next, ...}} when behind
--
-- An entity is one packed value: header, tiles of each level, counterparties, reports, ring. A tile keeps
-- running totals from the entity's first tile on, so that a window is one subtraction, however long.

local sp, su = struct.pack, struct.unpack
local sub, find, rep, floor, max = string.sub, string.find, string.rep, math.floor, math.max
local WIDE = 2 ^ 48 -- totals are pairs (low 48 bits, the rest): exact where a double alone would round
local HEAD, HEAD_SIZE = '<I6I6I6I6I6I2I2I2I2I2I2I1', 43
local CP, CP_SIZE = '<I6I6', 12 -- last time, counterparty
local REPORT, REPORT_SIZE = '<c8I6I6I6', 26 -- transaction, first OPEN, first CONFIRMED, last final
local RING_ID, RING_ENTRY = 8, 16 -- hash of id, hash of content
local ENTRY, ENTRY_SIZE = '<I1I2I8I8I8c8c8c12c12c12c12', 91
local BIAS = 1000 -- added to each stored maximum: see `largest`
local NONE = rep('\0', 12)
local APPLIED, STORED, STALE, REPEAT, REUSED, REPLAYED = 0, 1, 2, 3, 4, 5
local ROW, ROW_SIZE = '<' .. rep('d', SLOTS), 8 * SLOTS
local NO_ROW = rep('\0', ROW_SIZE)

-- Entities of this call, decoded once and written once, however often they occur.
local cache, touched = {}, {}

local function load_entity(kind, id)
  local key = ARGV[1] .. kind.name .. ':' .. id
  local e = cache[key]
  if e then return e end
  e = { kind = kind, key = key, tiles = {}, maxes = {}, n = { 0, 0, 0, 0 },
        N = 0, F = 0, PN = 0, PF = 0, M = 0, cps = '', reports = '', ring = '' }
  local v = redis.call('GET', key)
  if v then
    local nc, nr, n1, n2, n3, n4
    e.N, e.F, e.PN, e.PF, e.M, n1, n2, n3, n4, nc, nr = su(HEAD, v)
    e.n = { n1, n2, n3, n4 }
    local at = HEAD_SIZE
    for i, level in ipairs(kind.levels) do
      local to = at + e.n[i] * level.width
      e.tiles[i], e.maxes[i], at = sub(v, at + 1, to), '', to
      if level.max then
        to = at + e.n[i] * 5
        e.maxes[i], at = sub(v, at + 1, to), to
      end
    end
    local cps, reports = at + nc * CP_SIZE, at + nc * CP_SIZE + nr * REPORT_SIZE
    e.cps, e.reports, e.ring = sub(v, at + 1, cps), sub(v, cps + 1, reports), sub(v, reports + 1)
  else
    for i = 1, #kind.levels do e.tiles[i], e.maxes[i] = '', '' end
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

local function encode(e)
  local parts = { sp(HEAD, e.N, e.F, e.PN, e.PF, e.M, e.n[1], e.n[2], e.n[3], e.n[4],
                     #e.cps / CP_SIZE, #e.reports / REPORT_SIZE, #e.ring / RING_ENTRY) }
  for i = 1, #e.kind.levels do
    parts[#parts + 1] = e.tiles[i]
    parts[#parts + 1] = e.maxes[i]
  end
  parts[#parts + 1] = e.cps
  parts[#parts + 1] = e.reports
  parts[#parts + 1] = e.ring
  return table.concat(parts)
end

-- Position of the last of n records, sorted by their first field, with it <= target; 0 if there is none.
local function locate(s, n, width, field, target)
  local lo, hi = 0, n
  while lo < hi do
    local mid = floor((lo + hi + 1) / 2)
    if su(field, s, (mid - 1) * width + 1) <= target then lo = mid else hi = mid - 1 end
  end
  return lo
end

-- The same for tiles, below a known one: record `p` has index `at` > target, record 1 has `first` <= target.
-- Tiles are near evenly spread, so a proportional guess is mostly a step or two off.
local function locate_tile(s, p, at, first, width, field, target)
  local q = floor(1 + (p - 1) * (target - first) / (at - first))
  if su(field, s, (q - 1) * width + 1) <= target then
    while q + 1 < p and su(field, s, q * width + 1) <= target do q = q + 1 end
  else
    repeat q = q - 1 until su(field, s, (q - 1) * width + 1) <= target
  end
  return q
end

-- Position of the record that holds `needle` at `offset`; nil if there is none.
local function find_record(s, needle, width, offset)
  local at = 1
  while true do
    local p = find(s, needle, at, true)
    if not p then return nil end
    if (p - 1 - offset) % width == 0 then return (p - 1 - offset) / width + 1 end
    at = p + 1
  end
end

local function saturated(high, low, limit)
  local x = high * WIDE + low
  return x < limit and x or limit
end

-- The largest of a run of maxima, in C. `su` answers the values and then a position in the string, which
-- is below BIAS; every stored maximum is above it.
local formats = {}
local function largest(s, low, high)
  local n = high - low
  local format = formats[n]
  if not format then
    format = '<' .. rep('I5', n)
    formats[n] = format
  end
  return max(su(format, s, low * 5 + 1)) - BIAS
end

local function read_level(e, i, level, t, out)
  local s, n, width, field, tile = e.tiles[i], e.n[i], level.width, level.field, level.tile
  local now, kept = floor(t / level.grain), floor((e.N - level.keep) / level.grain)
  local first, last, top, p2, at2, c2, sl2, sh2, ql2, qh2 = su(field, s, 1), su(field, s, (n - 1) * width + 1)
  local p1, at1
  local windows = level.windows
  for k = 1, #windows do
    local w = windows[k]
    if now - w.shift ~= top then
      top = now - w.shift
      p2 = top >= last and n or top < first and 0 or locate_tile(s, n, last, first, width, field, top)
      if p2 == 0 then return end -- later windows of the level end no later
      at2, c2, sl2, sh2, ql2, qh2 = su(tile, s, (p2 - 1) * width + 1)
      p1, at1 = p2, at2
    end
    local low = top - w.tiles
    if low < kept then low = kept end
    if at2 > low then
      local c1, sl1, sh1, ql1, qh1 = 0, 0, 0, 0, 0
      if first > low then
        p1 = 0
      else -- windows of one shift grow, so this one begins at or below where the last one did
        if at1 > low then p1 = locate_tile(s, p1, at1, first, width, field, low) end
        at1, c1, sl1, sh1, ql1, qh1 = su(tile, s, (p1 - 1) * width + 1)
      end
      local c = c2 - c1
      if w.count then out[w.count] = c < COUNT_MAX and c or COUNT_MAX end
      if w.sum then out[w.sum] = saturated(sh2 - sh1, sl2 - sl1, EXACT_MAX) end
      if w.squares then out[w.squares] = saturated(qh2 - qh1, ql2 - ql1, EXACT_MAX) end
      if w.max then out[w.max] = largest(e.maxes[i], p1, p2) end
    end
  end
end

local function read_reports(e, slots, t, out)
  local newest = e.N > e.M and e.N or e.M
  local kept = newest - RETENTION
  for at = 1, #e.reports, REPORT_SIZE do
    local _, opened, confirmed, final = su(REPORT, e.reports, at)
    if final == 0 or final <= kept then
      for _, slot in ipairs(slots) do
        local x = slot.open and opened or confirmed
        if x > 0 and x > kept and x > t - slot.length and x <= t then out[slot.at] = out[slot.at] + 1 end
      end
    end
  end
end

local function read_entity(e, t, out)
  local kind = e.kind
  for at = kind.from, kind.to do out[at] = 0 end
  local seen = e.N > 0 and t - e.N <= RETENTION
  if kind.last then out[kind.last] = seen and e.N or UNKNOWN end
  if kind.first then out[kind.first] = seen and e.F or UNKNOWN end
  local levels = kind.levels
  for i = 1, #levels do
    if e.n[i] > 0 then read_level(e, i, levels[i], t, out) end
  end
  local nc = #e.cps / CP_SIZE
  if nc > 0 then
    for _, slot in ipairs(kind.distinct) do
      local after = t - slot.length
      if after < e.N - CP_KEEP then after = e.N - CP_KEEP end
      out[slot.at] = nc - locate(e.cps, nc, CP_SIZE, '<I6', after)
    end
  end
  if e.reports ~= '' then read_reports(e, kind.reports, t, out) end
end

local function carry(low, high)
  if low >= WIDE then return low - WIDE, high + 1 end
  return low, high
end

-- Running totals of every tile after the changed one grow too; only a late event has such tiles.
local function grow(level, s, from, n, amount, ql, qh)
  local parts = {}
  for p = from, n do
    local index, c, sl, sh, l, h = su(level.tile, s, (p - 1) * level.width + 1)
    sl, sh = carry(sl + amount, sh)
    l, h = carry(l + ql, h + qh)
    parts[#parts + 1] = sp(level.tile, index, c + 1, sl, sh, l, h)
  end
  return table.concat(parts)
end

local function apply_level(e, i, level, t, amount, ql, qh)
  local kept, index = floor((e.N - level.keep) / level.grain), floor(t / level.grain)
  if index <= kept then return end
  local s, n, width, field = e.tiles[i], e.n[i], level.width, level.field
  local p, at, c, sl, sh, l, h = n, -1, 0, 0, 0, 0, 0
  if n > 0 then
    at, c, sl, sh, l, h = su(level.tile, s, (n - 1) * width + 1)
    if at > index then -- late
      p = locate(s, n, width, field, index)
      at, c, sl, sh, l, h = -1, 0, 0, 0, 0, 0
      if p > 0 then at, c, sl, sh, l, h = su(level.tile, s, (p - 1) * width + 1) end
    end
  end
  sl, sh = carry(sl + amount, sh)
  l, h = carry(l + ql, h + qh)
  local tile = sp(level.tile, index, c + 1, sl, sh, l, h)
  local before = at == index and p - 1 or p
  local later = p < n and grow(level, s, p + 1, n, amount, ql, qh) or ''
  s = (before < n and sub(s, 1, before * width) or s) .. tile .. later
  local m = e.maxes[i]
  if level.max then
    local old = before < p and su('<I5', m, before * 5 + 1) - BIAS or 0
    local top = sp('<I5', (amount > old and amount or old) + BIAS)
    m = (before < n and sub(m, 1, before * 5) or m) .. top .. sub(m, p * 5 + 1)
  end
  if before == p then
    n = n + 1
    -- The last tile that fell behind stays: its totals are what the next ones are counted from.
    local drop = 0
    while drop + 1 < n and su(field, s, (drop + 1) * width + 1) <= kept do drop = drop + 1 end
    if drop > 0 then s, m, n = sub(s, drop * width + 1), sub(m, drop * 5 + 1), n - drop end
  end
  e.tiles[i], e.maxes[i], e.n[i] = s, m, n
end

local function apply_counterparty(e, t, cp)
  local kept = e.N - CP_KEEP
  if t <= kept then return end
  local s = e.cps
  local p = find_record(s, cp, CP_SIZE, 6)
  if p then
    if su('<I6', s, (p - 1) * CP_SIZE + 1) >= t then return end
    s = sub(s, 1, (p - 1) * CP_SIZE) .. sub(s, p * CP_SIZE + 1)
  end
  local n, mine = #s / CP_SIZE, su('<I6', cp)
  local at = n
  while at > 0 do -- from the newest: in order, this ends at once
    local time, other = su(CP, s, (at - 1) * CP_SIZE + 1)
    if time < t or (time == t and other < mine) then break end
    at = at - 1
  end
  if at == n then
    s = s .. sp('<I6', t) .. cp
  else
    s = sub(s, 1, at * CP_SIZE) .. sp('<I6', t) .. cp .. sub(s, at * CP_SIZE + 1)
  end
  local drop = n + 1 > CP_CAP and n + 1 - CP_CAP or 0
  while su('<I6', s, drop * CP_SIZE + 1) <= kept do drop = drop + 1 end
  e.cps = drop > 0 and sub(s, drop * CP_SIZE + 1) or s
end

local function forget(e)
  e.n = { 0, 0, 0, 0 }
  for i = 1, #e.kind.levels do e.tiles[i], e.maxes[i] = '', '' end
  e.cps, e.ring = '', ''
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
  touch(e)
  if not advance(e, t) then return end
  local levels = e.kind.levels
  for i = 1, #levels do apply_level(e, i, levels[i], t, amount, ql, qh) end
  if #e.kind.distinct > 0 then apply_counterparty(e, t, cp) end
end

local function label(e, transaction, at, status)
  touch(e)
  if at > e.M then e.M = at end
  local kept = math.max(e.N, e.M) - RETENTION
  if at <= kept then return end
  local opened, confirmed, final, parts = 0, 0, 0, {}
  for from = 1, #e.reports, REPORT_SIZE do
    local h, o, c, f = su(REPORT, e.reports, from)
    if h == transaction then -- times that fell behind are forgotten
      opened, confirmed, final = o > kept and o or 0, c > kept and c or 0, f > kept and f or 0
    elseif o > kept or c > kept or f > kept then
      parts[#parts + 1] = sub(e.reports, from, from + REPORT_SIZE - 1)
    end
  end
  if status == 0 then opened = (opened == 0 or at < opened) and at or opened
  elseif status == 1 then confirmed = (confirmed == 0 or at < confirmed) and at or confirmed
  elseif at > final then final = at end
  parts[#parts + 1] = sp(REPORT, transaction, opened, confirmed, final)
  e.reports = table.concat(parts)
end

local out = {}

local function transaction(replay, t, amount, id, content, payer_id, payee_id, pair_id, device_id)
  local payer = load_entity(KINDS[1], payer_id)
  local p = find_record(payer.ring, id, RING_ENTRY, 0)
  if p then
    local at = (p - 1) * RING_ENTRY + RING_ID
    if sub(payer.ring, at + 1, at + 8) ~= content then return REUSED, NO_ROW end
    if not replay then return REPEAT, NO_ROW end
  end
  local payee, pair = load_entity(KINDS[2], payee_id), load_entity(KINDS[3], pair_id)
  local device = device_id ~= NONE and load_entity(KINDS[4], device_id)
  read_entity(payer, t, out)
  read_entity(payee, t, out)
  read_entity(pair, t, out)
  if device then
    read_entity(device, t, out)
  else
    for at = KINDS[4].from, KINDS[4].to do out[at] = UNKNOWN end
  end
  local row = sp(ROW, unpack(out, 1, SLOTS))
  if p then return REPLAYED, row end
  local reais = floor((amount + 50) / 100)
  local square = math.min(reais * reais, EXACT_MAX)
  local qh = floor(square / WIDE)
  local ql = square - qh * WIDE
  local by_payer, by_payee = sub(payee_id, 1, 6), sub(payer_id, 1, 6)
  apply_entity(payer, t, amount, ql, qh, by_payer)
  apply_entity(payee, t, amount, ql, qh, by_payee)
  apply_entity(pair, t, amount, ql, qh, by_payee)
  if device then apply_entity(device, t, amount, ql, qh, by_payee) end
  payer.ring = sub(payer.ring, -(RING_SIZE - 1) * RING_ENTRY) .. id .. content
  return APPLIED, row
end

-- The answers that earlier calls gave between floor and next, by offset; read only after a redelivery.
local function remembered(span)
  if span.stored then return span.stored end
  span.stored = {}
  for _, item in ipairs(redis.call('LRANGE', span.key .. ':answers', 0, -1)) do
    local _, length = su('<I8I2', item)
    local versions = sub(item, 11, 10 + length)
    for at = 11 + length, #item, 9 + ROW_SIZE do
      local offset, status = su('<I8I1', item, at)
      span.stored[offset] = { status, sub(item, at + 9, at + 8 + ROW_SIZE), versions }
    end
  end
  return span.stored
end

local spans, behind = {}, {}
for i, key in ipairs(KEYS) do
  local committed, start, stop, healing = su('<I8I8I8I1', ARGV[2], (i - 1) * 25 + 1)
  local state = redis.call('HMGET', key, 'floor', 'next')
  local s = { key = key, stop = stop, healing = healing == 1, committed = committed, log = {},
              floor = tonumber(state[1] or 0), next = tonumber(state[2] or 0) }
  -- A log that was never seen is written even if it stands at 0: it is no longer unknown.
  s.stored_floor, s.stored_next = state[1] and s.floor or -1, s.next
  if not s.healing and s.next < start then
    behind[#behind + 1], behind[#behind + 2], behind[#behind + 3] = i, s.floor, s.next
  end
  spans[i] = s
end
if #behind > 0 then return { 1, behind } end
for _, s in ipairs(spans) do
  if not s.healing then
    s.floor, s.next = math.max(s.floor, s.committed), math.max(s.next, s.committed)
  end
end

local statuses, rows, decided = {}, {}, {}
for from = 1, #ARGV[3], ENTRY_SIZE do
  local kind, at, offset, t, amount, id, content, payer, payee, pair, device = su(ENTRY, ARGV[3], from)
  local span, status, row = spans[at + 1], STALE, NO_ROW
  local report = kind >= 2
  if offset >= span.next then
    if report then
      label(load_entity(KINDS[1], payer), id, t, amount)
      label(load_entity(KINDS[2], payee), id, t, amount)
      status = APPLIED
    else
      status, row = transaction(kind == 1, t, amount, id, content, payer, payee, pair, device)
      if not span.healing then span.log[#span.log + 1] = sp('<I8I1', offset, status) .. row end
    end
  elseif offset >= span.floor then
    if report then
      status = STORED
    else
      local known = remembered(span)[offset]
      if known then
        status, row = known[1] == APPLIED and STORED or known[1], known[2]
        if status == STORED then
          decided[#decided + 1], decided[#decided + 2] = #statuses, known[3]
        end
      end
    end
  end
  statuses[#statuses + 1] = string.char(status)
  if not report then rows[#rows + 1] = row end
end

-- Nothing was written until here.
for _, e in ipairs(touched) do redis.call('SET', e.key, encode(e), 'EX', ARGV[5]) end
for _, s in ipairs(spans) do
  if s.stop > s.next then s.next = s.stop end
  if s.healing and s.stop > s.floor then s.floor = s.stop end
  local answers = s.key .. ':answers'
  if s.floor ~= s.stored_floor or s.next ~= s.stored_next then
    redis.call('HSET', s.key, 'floor', string.format('%.0f', s.floor), 'next', string.format('%.0f', s.next))
  end
  while s.floor > s.stored_floor do
    local oldest = redis.call('LINDEX', answers, 0)
    if not oldest or su('<I8', oldest) > s.floor then break end
    redis.call('LPOP', answers)
  end
  if #s.log > 0 then
    redis.call('RPUSH', answers, sp('<I8I2', s.stop, #ARGV[4]) .. ARGV[4] .. table.concat(s.log))
    redis.call('EXPIRE', answers, ARGV[5])
  end
end
return { 0, table.concat(statuses), table.concat(rows), decided }
