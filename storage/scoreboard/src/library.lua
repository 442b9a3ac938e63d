#!lua name=flowtest
-- library version 10
--
-- The functions that run inside Redis. Each checks everything before its single write, because Redis does not
-- roll back a function that fails half-way, and each writes with one HSET, because a torn end of the append-only
-- file can cut a group of commands in two but never one command. Rows are absolute, never increments: whatever
-- is lost or put twice, the next put makes right.
--
-- KEYS[1] is the hash of the round. Fields: `state`, `streams` their ids, and per stream `q:` sequence number, `e:` end marker,
-- `a:` abandoned, `t:<stream>:<contestant>` rows, and `p:` the part that was taken last of a roster too long for one HSET.
-- Histograms stand beside the rows and are put less often: `h:<stream>:<span>:<contestant>`, with `hq:` and `hp:` of their own.
-- `v:` says how much of what a stream scored is valid.

local COUNT_MAX = 9007199254740991
-- A call takes at most 8,000 arguments in Lua's stack; a row takes two.
local ROWS_MAX = 2000
local ROW_BYTES_MAX = 65536
local NAME_BYTES_MAX = 256
local SPAN_BYTES_MIN, SPAN_BYTES_MAX = 17, 1040
local OPEN = { armed = true, running = true, paused = true }

local function wrong(what)
  return redis.error_reply('FLOWTEST ' .. what)
end

local function is_id(text)
  return text ~= nil and #text == 32 and string.find(text, '^[0-9a-f]+$') ~= nil
end

local function count(text)
  if text == nil or #text > 16 or not string.find(text, '^%d+$') then return nil end
  local number = tonumber(text)
  if number > COUNT_MAX then return nil end
  return number
end

local function one_key(keys)
  return #keys == 1
end

-- The ids of all registered streams. A round of an older library has no list of them.
local function registered(key, list)
  local ids = {}
  if list then
    for id in string.gmatch(list, '%x+') do ids[#ids + 1] = id end
    return ids
  end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local id = string.match(field, '^q:([0-9a-f]+)$')
    if id and is_id(id) then ids[#ids + 1] = id end
  end
  return ids
end

-- open(): creates the round. OK, DUP.
local function open(keys, args)
  if not one_key(keys) or #args ~= 0 then return wrong('open takes one key') end
  if redis.call('HGET', keys[1], 'state') then return redis.status_reply('DUP') end
  redis.call('HSET', keys[1], 'state', 'running')
  return redis.status_reply('OK')
end

-- register(stream, 'new' | 'again', peer...): OK, DUP, UNKNOWN, CLOSED.
-- `again` comes from a stream that was registered once, so Redis has lost it since: it may join while the round
-- drains, and brings back a round that was wiped, with the peers it knew. Otherwise the first one back could seal
-- the round while the others are still on their way. The same holds for a stream that Redis still has, when it was
-- thrown back to a time before the others joined: their names are added then as well.
local function register(keys, args)
  local stream, mode = args[1], args[2]
  if not one_key(keys) or #args < 2 then return wrong('register takes one key, a stream and a mode') end
  if #args > ROWS_MAX then return wrong('register: too many peers') end
  if mode ~= 'new' and mode ~= 'again' then return wrong('register: the mode is new or again') end
  if mode == 'new' and #args > 2 then return wrong('register: a new stream names no peers') end
  for index, id in ipairs(args) do
    if index ~= 2 and not is_id(id) then return wrong('register: a stream is no id') end
  end
  local held = redis.call('HMGET', keys[1], 'state', 'q:' .. stream, 'streams')
  local state, seq = held[1], held[2]
  if not state and mode == 'new' then return redis.status_reply('UNKNOWN') end
  if state and not OPEN[state] and state ~= 'draining' then return redis.status_reply('CLOSED') end
  if seq and mode == 'new' then return redis.status_reply('DUP') end
  if state == 'draining' and mode == 'new' then return redis.status_reply('CLOSED') end
  local fields = {}
  if not state then
    fields = { 'state', 'running' }
  end
  if not seq then
    fields[#fields + 1] = 'q:' .. stream
    fields[#fields + 1] = '0'
  end
  for index = 3, #args do
    local peer = 'q:' .. args[index]
    if args[index] ~= stream and redis.call('HEXISTS', keys[1], peer) == 0 then
      fields[#fields + 1] = peer
      fields[#fields + 1] = '0'
    end
  end
  if #fields == 0 then return redis.status_reply('DUP') end
  local ids, listed = registered(keys[1], held[3]), {}
  for _, id in ipairs(ids) do listed[id] = true end
  for index, id in ipairs(args) do
    if index ~= 2 and not listed[id] then
      listed[id] = true
      ids[#ids + 1] = id
    end
  end
  fields[#fields + 1] = 'streams'
  fields[#fields + 1] = table.concat(ids, ' ')
  redis.call('HSET', keys[1], unpack(fields))
  return redis.status_reply('OK')
end

-- streams(): the ids of all registered streams.
local function streams(keys, args)
  if not one_key(keys) or #args ~= 0 then return wrong('streams takes one key') end
  return registered(keys[1], redis.call('HGET', keys[1], 'streams'))
end

-- What is put: the names of its fields, what comes last, and what a name and its value must be.
local ROWS = {
  fields = 't:', seq = 'q:', progress = 'p:',
  marks = { more = true, ['end'] = true, close = true },
  wrong = function(name, row)
    if #name == 0 or #name > NAME_BYTES_MAX then return 'a name is empty or too long' end
    if #row > ROW_BYTES_MAX or not string.find(row, '^[%d ]+;[%d: ]*;[%d: ]*$') then return 'a row is malformed' end
  end,
}
local HISTOGRAMS = {
  fields = 'h:', seq = 'hq:', progress = 'hp:',
  marks = { more = true },
  wrong = function(name, bytes)
    if #name > NAME_BYTES_MAX + 3 or not string.find(name, '^%d%d?:.') then return 'a name is malformed' end
    if #bytes < SPAN_BYTES_MIN or #bytes > SPAN_BYTES_MAX then return 'a span is malformed' end
  end,
}

local function put_all(keys, args, kind)
  if not one_key(keys) then return wrong('put takes one key') end
  local stream, seq, base = args[1], count(args[2]), args[3]
  local part, parts, mark = count(args[4]), count(args[5]), args[6]
  local rows = (#args - 6) / 2
  if not is_id(stream) then return wrong('put: the stream is no id') end
  if not seq then return wrong('put: the sequence number is no number') end
  if base ~= '*' and not count(base) then return wrong('put: the base is no number') end
  if not part or not parts or part < 1 or part > parts then return wrong('put: no such part') end
  if not kind.marks[mark] then return wrong('put: the mark is end, close or more') end
  if mark ~= 'more' and base ~= '*' then return wrong('put: an end comes with all rows') end
  if rows < 0 or rows > ROWS_MAX or rows % 1 ~= 0 then return wrong('put: the number of rows is wrong') end
  local fields, seen, before = {}, {}, kind.fields .. stream .. ':'
  for index = 7, #args, 2 do
    local name, value = args[index], args[index + 1]
    local malformed = kind.wrong(name, value)
    if malformed then return wrong('put: ' .. malformed) end
    if seen[name] then return wrong('put: a contestant comes twice') end
    seen[name] = true
    fields[#fields + 1] = before .. name
    fields[#fields + 1] = value
  end

  local held = redis.call(
    'HMGET', keys[1], 'state', 'q:' .. stream, 'e:' .. stream, kind.progress .. stream, 'hq:' .. stream)
  local state, known, ended, progress = held[1], count(held[2] or nil), count(held[3] or nil), held[4]
  local histograms = count(held[5] or nil)
  if not state or not known then return redis.status_reply('UNKNOWN') end
  if ended and seq <= ended then return redis.status_reply('DUP') end
  if ended or (not OPEN[state] and state ~= 'draining') then return redis.status_reply('CLOSED') end
  local held_seq = known
  if kind == HISTOGRAMS then held_seq = histograms or 0 end
  -- The end may carry the number of the newest rows: nothing came after them. Anything else of that number has been
  -- taken already, also a whole put: a row that somebody changed by hand comes back with the next number. Of histograms
  -- that would be too late, since the end is put without them.
  local again = mark ~= 'more' or (kind == HISTOGRAMS and base == '*')
  if seq < held_seq or (seq == held_seq and not again) then return redis.status_reply('DUP') end
  if base ~= '*' and count(base) ~= held_seq then return redis.status_reply('GAP') end
  if mark == 'close' and histograms ~= seq then return redis.status_reply('GAP') end
  local progress_seq = progress and count(string.match(progress, '^(%d+)%.'))
  if progress_seq and seq < progress_seq then return redis.status_reply('DUP') end
  local taken
  if parts > 1 then
    -- The same rows may be on their way twice, cut and built on something else each time, such as the changes before a
    -- connection broke and all rows after it. So only the very part that was taken last is one that Redis has; the first
    -- part of any other put begins that put, and a later one follows its own: where a wipe took those, all come again.
    local put_of = '.' .. table.concat({ args[5], base, mark }, '.') .. '.'
    taken = args[2] .. '.' .. args[4] .. put_of .. rows .. '.' .. args[#args - 1]
    if progress == taken then return redis.status_reply('DUP') end
    local before = args[2] .. '.' .. (part - 1) .. put_of
    if part > 1 and string.sub(progress or '', 1, #before) ~= before then return redis.status_reply('GAP') end
  end
  if part < parts then
    fields[#fields + 1] = kind.progress .. stream
    fields[#fields + 1] = taken
  else
    fields[#fields + 1] = kind.seq .. stream
    fields[#fields + 1] = args[2]
    if progress and progress ~= '' then
      fields[#fields + 1] = kind.progress .. stream
      fields[#fields + 1] = ''
    end
    if mark ~= 'more' then
      fields[#fields + 1] = 'e:' .. stream
      fields[#fields + 1] = args[2]
    end
  end
  redis.call('HSET', keys[1], unpack(fields))
  return redis.status_reply('OK')
end

-- put(stream, seq, base, part, parts, mark, {contestant, row}...): OK, DUP, GAP, UNKNOWN, CLOSED.
-- `base` is `*` when all rows are put, or the sequence number that these changes build on: GAP when Redis holds
-- another one. `mark` is on the last put of a stream `end` when its rows hold their histograms, as those of older generators
-- do, or `close` when they are beside them: GAP unless all of them have been put at this number. Otherwise it is `more`.
local function put(keys, args)
  return put_all(keys, args, ROWS)
end

-- put_histograms(stream, seq, base, part, parts, 'more', {span:contestant, bytes}...): the same for histograms, which have
-- a sequence number of their own. All of them, at a number that was put already, are taken again.
local function put_histograms(keys, args)
  return put_all(keys, args, HISTOGRAMS)
end

-- put_validity(stream, seconds, valid seconds, due, void, late ms): how much of what a stream has scored is valid, in place of
-- what it said before. Generators of before 0.3 do not say the last. OK, UNKNOWN, CLOSED.
local function put_validity(keys, args)
  if not one_key(keys) or (#args ~= 5 and #args ~= 6) then
    return wrong('put_validity takes one key, a stream and five counts')
  end
  if not is_id(args[1]) then return wrong('put_validity: the stream is no id') end
  for index = 2, #args do
    if not count(args[index]) then return wrong('put_validity: a count is no number') end
  end
  local held = redis.call('HMGET', keys[1], 'state', 'q:' .. args[1])
  local state, seq = held[1], held[2]
  if not state or not seq then return redis.status_reply('UNKNOWN') end
  if not OPEN[state] and state ~= 'draining' then return redis.status_reply('CLOSED') end
  redis.call('HSET', keys[1], 'v:' .. args[1], table.concat(args, ' ', 2))
  return redis.status_reply('OK')
end

-- drain(): no stream may join any more. OK, DUP, UNKNOWN, CLOSED.
local function drain(keys, args)
  if not one_key(keys) or #args ~= 0 then return wrong('drain takes one key') end
  local state = redis.call('HGET', keys[1], 'state')
  if not state then return redis.status_reply('UNKNOWN') end
  if state == 'draining' then return redis.status_reply('DUP') end
  if not OPEN[state] then return redis.status_reply('CLOSED') end
  redis.call('HSET', keys[1], 'state', 'draining')
  return redis.status_reply('OK')
end

-- seal(abandoned...): {OK}, {DUP}, {UNKNOWN}, {EMPTY}, {CLOSED}, or {MISSING, stream...}.
local function seal(keys, args)
  if not one_key(keys) or #args > ROWS_MAX then return wrong('seal takes one key and a list of streams') end
  local abandoned = {}
  for _, stream in ipairs(args) do
    if not is_id(stream) then return wrong('seal: an abandoned stream is no id') end
    abandoned[stream] = true
  end
  local state = redis.call('HGET', keys[1], 'state')
  if not state then return { 'UNKNOWN' } end
  if state == 'sealed' then return { 'DUP' } end
  if not OPEN[state] and state ~= 'draining' then return { 'CLOSED' } end
  local registered, ended = {}, {}
  for _, field in ipairs(redis.call('HKEYS', keys[1])) do
    local kind, stream = string.match(field, '^([qe]):([0-9a-f]+)$')
    if kind == 'q' then registered[#registered + 1] = stream end
    if kind == 'e' then ended[stream] = true end
  end
  if #registered == 0 then return { 'EMPTY' } end
  local answer, fields = { 'MISSING' }, { 'state', 'sealed' }
  for _, stream in ipairs(registered) do
    if not ended[stream] then
      if abandoned[stream] then
        fields[#fields + 1] = 'a:' .. stream
        fields[#fields + 1] = '1'
      else
        answer[#answer + 1] = stream
      end
    end
  end
  if #answer > 1 then return answer end
  redis.call('HSET', keys[1], unpack(fields))
  return { 'OK' }
end

-- lease(holder, milliseconds): KEYS[1] is the lease of a generator's name. OK when it is the holder's for so long from now
-- on, HELD when it is somebody else's.
local function lease(keys, args)
  if not one_key(keys) or #args ~= 2 or not is_id(args[1]) then return wrong('lease takes a key, an id and a time') end
  local life = count(args[2])
  if life == nil or life == 0 then return wrong('a lease lasts a millisecond at least') end
  local holder = redis.call('GET', keys[1])
  if holder and holder ~= args[1] then return redis.status_reply('HELD') end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return redis.status_reply('OK')
end

-- keep_control(revision, document): KEYS[1] is the control document of a contest. OK when it is this one now, DUP when the
-- one that is there is as new or newer, or none that we can read: of those who bring back a lost one the newest wins. One that
-- stops all traffic stays as well, unless ours does too: only whoever steers takes a stop back.
local function keep_control(keys, args)
  if not one_key(keys) or #args ~= 2 then return wrong('keep_control takes a key, a revision and a document') end
  local revision = count(args[1])
  if not revision then return wrong('keep_control: the revision is no number') end
  local held = redis.call('GET', keys[1])
  if held then
    local read, document = pcall(cjson.decode, held)
    local of_held = read and type(document) == 'table' and tonumber(document.revision)
    if not of_held or of_held >= revision then return redis.status_reply('DUP') end
    local is_ours, ours = pcall(cjson.decode, args[2])
    local halts = is_ours and type(ours) == 'table' and ours.halted == true
    if document.halted == true and not halts then return redis.status_reply('DUP') end
  end
  redis.call('SET', keys[1], args[2])
  return redis.status_reply('OK')
end

-- put_step(number, decision, seconds, before): KEYS[1] is the decision of a step, KEYS[2] the newest one, both kept for so many
-- seconds. OK when it stands now, DUP when another was faster, CLOSED when the step has begun: `before` is its instant in
-- microseconds, by our clock, and 0 where it does not matter. Whoever follows would not hear of it any more. What stands is the
-- newest where that is lost, or older.
local function put_step(keys, args)
  if #keys ~= 2 or #args ~= 4 then return wrong('put_step takes two keys, a number, a decision, a life and an instant') end
  local number, life, before = count(args[1]), count(args[3]), count(args[4])
  if not number or not life or life == 0 or not before then return wrong('put_step: that is no number') end
  local stands = redis.call('GET', keys[1])
  local now = redis.call('TIME')
  if not stands and before > 0 and tonumber(now[1]) * 1000000 + tonumber(now[2]) >= before then
    return redis.status_reply('CLOSED')
  end
  local read, newest = pcall(cjson.decode, redis.call('GET', keys[2]) or '{}')
  local of_newest = read and type(newest) == 'table' and tonumber(newest.step)
  if not stands then redis.call('SET', keys[1], args[2], 'EX', args[3]) end
  if not of_newest or of_newest < number then redis.call('SET', keys[2], stands or args[2], 'EX', args[3]) end
  return redis.status_reply(stands and 'DUP' or 'OK')
end

redis.register_function('flowtest_put_step', put_step)
redis.register_function('flowtest_keep_control', keep_control)
redis.register_function('flowtest_lease', lease)
redis.register_function('flowtest_open', open)
redis.register_function('flowtest_register', register)
redis.register_function('flowtest_streams', streams)
redis.register_function('flowtest_put', put)
redis.register_function('flowtest_put_histograms', put_histograms)
redis.register_function('flowtest_put_validity', put_validity)
redis.register_function('flowtest_drain', drain)
redis.register_function('flowtest_seal', seal)
