#!lua name=flowtest
-- library version 4
--
-- The functions that run inside Redis. Each checks everything before its single write, because Redis does not
-- roll back a function that fails half-way, and each writes with one HSET, because a torn end of the append-only
-- file can cut a group of commands in two but never one command. Rows are absolute, never increments: whatever
-- is lost or put twice, the next put makes right.
--
-- KEYS[1] is the hash of the round. Fields: `state`, and per stream `q:` sequence number, `e:` end marker,
-- `a:` abandoned, `p:` the part that was taken last of a roster too long for one HSET, `t:<stream>:<contestant>` rows.

local COUNT_MAX = 9007199254740991
-- A call takes at most 8,000 arguments in Lua's stack; a row takes two.
local ROWS_MAX = 2000
local ROW_BYTES_MAX = 65536
local NAME_BYTES_MAX = 256
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
  local held = redis.call('HMGET', keys[1], 'state', 'q:' .. stream)
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
  redis.call('HSET', keys[1], unpack(fields))
  return redis.status_reply('OK')
end

-- streams(): the ids of all registered streams.
local function streams(keys, args)
  if not one_key(keys) or #args ~= 0 then return wrong('streams takes one key') end
  local ids = {}
  for _, field in ipairs(redis.call('HKEYS', keys[1])) do
    local id = string.match(field, '^q:([0-9a-f]+)$')
    if id and is_id(id) then ids[#ids + 1] = id end
  end
  return ids
end

-- put(stream, seq, base, part, parts, mark, {contestant, row}...): OK, DUP, GAP, UNKNOWN, CLOSED.
-- `base` is `*` when all rows are put, or the sequence number that these changes build on: GAP when Redis holds
-- another one. `mark` is `end` on the last put of a stream, otherwise `more`.
local function put(keys, args)
  if not one_key(keys) then return wrong('put takes one key') end
  local stream, seq, base = args[1], count(args[2]), args[3]
  local part, parts, mark = count(args[4]), count(args[5]), args[6]
  local rows = (#args - 6) / 2
  if not is_id(stream) then return wrong('put: the stream is no id') end
  if not seq then return wrong('put: the sequence number is no number') end
  if base ~= '*' and not count(base) then return wrong('put: the base is no number') end
  if not part or not parts or part < 1 or part > parts then return wrong('put: no such part') end
  if mark ~= 'end' and mark ~= 'more' then return wrong('put: the mark is end or more') end
  if mark == 'end' and base ~= '*' then return wrong('put: an end comes with all rows') end
  if rows < 0 or rows > ROWS_MAX or rows % 1 ~= 0 then return wrong('put: the number of rows is wrong') end
  local fields, seen = {}, {}
  for index = 7, #args, 2 do
    local name, row = args[index], args[index + 1]
    if #name == 0 or #name > NAME_BYTES_MAX then return wrong('put: a name is empty or too long') end
    if seen[name] then return wrong('put: a contestant comes twice') end
    if #row > ROW_BYTES_MAX or not string.find(row, '^[%d ]+;[%d: ]*;[%d: ]*$') then
      return wrong('put: a row is malformed')
    end
    seen[name] = true
    fields[#fields + 1] = 't:' .. stream .. ':' .. name
    fields[#fields + 1] = row
  end

  local held = redis.call('HMGET', keys[1], 'state', 'q:' .. stream, 'e:' .. stream, 'p:' .. stream)
  local state, held_seq, ended, progress = held[1], count(held[2] or nil), count(held[3] or nil), held[4]
  if not state or not held_seq then return redis.status_reply('UNKNOWN') end
  if ended and seq <= ended then return redis.status_reply('DUP') end
  if ended or (not OPEN[state] and state ~= 'draining') then return redis.status_reply('CLOSED') end
  -- The end may carry the number of the newest rows: nothing came after them. Anything else of that number has been
  -- taken already, also a whole put: a row that somebody changed by hand comes back with the next number.
  if seq < held_seq or (seq == held_seq and mark ~= 'end') then return redis.status_reply('DUP') end
  if base ~= '*' and count(base) ~= held_seq then return redis.status_reply('GAP') end
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
    fields[#fields + 1] = 'p:' .. stream
    fields[#fields + 1] = taken
  else
    fields[#fields + 1] = 'q:' .. stream
    fields[#fields + 1] = args[2]
    if progress and progress ~= '' then
      fields[#fields + 1] = 'p:' .. stream
      fields[#fields + 1] = ''
    end
    if mark == 'end' then
      fields[#fields + 1] = 'e:' .. stream
      fields[#fields + 1] = args[2]
    end
  end
  redis.call('HSET', keys[1], unpack(fields))
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

redis.register_function('flowtest_lease', lease)
redis.register_function('flowtest_open', open)
redis.register_function('flowtest_register', register)
redis.register_function('flowtest_streams', streams)
redis.register_function('flowtest_put', put)
redis.register_function('flowtest_drain', drain)
redis.register_function('flowtest_seal', seal)
