--[[ agentd.lua: a game's connection to the agentd daemon. Lua 5.1 to 5.4, LuaJIT, LÖVE; needs LuaSocket.

    local agentd = require "agentd"
    local client = assert(agentd.connect("127.0.0.1:7331", {
      agent = "catch", action = {kind = "discrete", n = 3},
      observation = {{name = "board", dtype = "float32", shape = {10, 5}}}}))
    local act = assert(client:step {kind = {agentd.FIRST}, obs = {board = numbers}})

A function that fails returns nil and an error: a table with `code` and `message`, and what the server
said besides (`field`, `expected`, `got`, `seq`, `fatal`); it prints as one line. Arguments that cannot
be sent at all raise an error. R1 to R20 are the rules of agentd's PROTOCOL.md.
SPDX-License-Identifier: Apache-2.0 ]]

local socket = require "socket"
local has_ffi, ffi = pcall(require, "ffi") -- LuaJIT
local unpack = table.unpack or unpack
local floor, huge = math.floor, math.huge
local byte, char, sub, concat = string.byte, string.char, string.sub, table.concat

local agentd = {
  VERSION = "0.1.0",
  FIRST = 0, MID = 1, TERMINATED = 2, TRUNCATED = 3, -- kinds of rows
  BY_AGENT = 0, BY_PERSON = 1, BY_SCRIPT = 2, -- who chose an action
}
local FIRST_ANSWER, TRY_S = 65536, 10 -- bytes before welcome, seconds for one try

local Error = {}
Error.__index = Error

function Error:__tostring()
  return self.code .. ": " .. self.message
end

local function fault(code, message, more)
  local e = more or {}
  e.code, e.message = code, message
  return setmetatable(e, Error)
end

-- -- numbers as bytes -----------------------------------------------------------------------------

-- The `size` bytes of a whole number, lowest first; a negative one as its two's complement.
local function whole_bytes(v, size)
  local out = {}
  for i = 1, size do
    out[i] = char(v % 256)
    v = floor(v / 256)
  end
  return concat(out)
end

local function whole(s, at, size)
  local v = 0
  for i = at + size - 1, at, -1 do v = v * 256 + byte(s, i) end
  return v
end

-- IEEE 754 by hand, for a Lua without string.pack: 4 bytes with 23 digits of fraction, or 8 with 52.
local function float_bytes(v, size)
  if string.pack then return string.pack(size == 4 and "<f" or "<d", v) end
  local digits, bias, split = 52, 1023, 16
  if size == 4 then digits, bias, split = 23, 127, 128 end
  local sign, exponent, fraction = 0, 0, 0
  if v < 0 or (v == 0 and 1 / v < 0) then sign, v = 1, -v end
  if v ~= v or v == huge then
    exponent, fraction = 2 * bias + 1, v ~= v and 2 ^ (digits - 1) or 0
  elseif v > 0 then
    local m, e = math.frexp(v) -- v = m * 2^e, 0.5 <= m < 1
    exponent, m = e - 1 + bias, m * 2
    if exponent < 1 then m, exponent = m * 2 ^ (exponent - 1), 0 else m = m - 1 end
    fraction = floor(m * 2 ^ digits)
    local rest = m * 2 ^ digits - fraction
    if rest > 0.5 or (rest == 0.5 and fraction % 2 == 1) then fraction = fraction + 1 end
    if fraction == 2 ^ digits then fraction, exponent = 0, exponent + 1 end
    if exponent > 2 * bias then fraction, exponent = 0, 2 * bias + 1 end
  end
  local scale = 256 ^ (size - 2) -- all but the two highest bytes
  local top = (sign * (2 * bias + 2) + exponent) * split + floor(fraction / scale)
  return whole_bytes(fraction % scale, size - 2) .. whole_bytes(top, 2)
end

local function float(s, at, size)
  local digits, bias, split = 52, 1023, 16
  if size == 4 then digits, bias, split = 23, 127, 128 end
  local high = whole(s, at + size - 2, 2)
  local top = floor(high / split)
  local fraction = (high % split) * 256 ^ (size - 2) + whole(s, at, size - 2)
  local sign = top > 2 * bias + 1 and -1 or 1
  local exponent = top % (2 * bias + 2)
  if exponent == 2 * bias + 1 then return fraction == 0 and sign * huge or 0 / 0 end
  if exponent == 0 then return sign * fraction * 2 ^ (1 - bias - digits) end
  return sign * (1 + fraction / 2 ^ digits) * 2 ^ (exponent - bias)
end

local NUMBERS = { -- dtype: bytes, format of string.pack, type in C
  uint8 = {1, "B", "uint8_t"}, int8 = {1, "b", "int8_t"}, uint32 = {4, "I4", "uint32_t"},
  int32 = {4, "i4", "int32_t"}, float32 = {4, "f", "float"}, float16 = {2},
}

-- A list of numbers as the bytes of a tensor; a string is taken for such bytes.
local function pack(dtype, values)
  if type(values) == "string" then return values end
  local size, format, ctype = unpack(NUMBERS[dtype])
  if not format then error("a tensor of float16 wants its bytes as a string", 4) end
  if has_ffi and ffi.abi "le" then
    return ffi.string(ffi.new(ctype .. "[?]", #values, values), #values * size)
  end
  local out = {}
  for i = 1, #values, string.pack and 128 or 1 do
    if string.pack then
      local last = math.min(i + 127, #values)
      out[#out + 1] = string.pack("<" .. format:rep(last - i + 1), unpack(values, i, last))
    else
      out[i] = dtype == "float32" and float_bytes(values[i], 4) or whole_bytes(values[i], size)
    end
  end
  return concat(out)
end

local function numbers(dtype, bytes)
  local out, size = {}, NUMBERS[dtype][1]
  for at = 1, #bytes, size do
    local v = dtype == "float32" and float(bytes, at, 4) or whole(bytes, at, size)
    if dtype == "int32" and v >= 2 ^ 31 then v = floor(v - 2 ^ 32) end
    out[#out + 1] = v
  end
  return out
end

-- -- msgpack: what a client says, and all that a server may say -------------------------------------

local function big(v, size)
  return whole_bytes(v, size):reverse()
end

local function int(v)
  if v < 128 then return char(v) end
  if v < 256 then return "\204" .. char(v) end
  if v < 65536 then return "\205" .. big(v, 2) end
  return v < 2 ^ 32 and "\206" .. big(v, 4) or "\207" .. big(v, 8)
end

local function number(v)
  return "\203" .. float_bytes(v, 8):reverse()
end

local function str(s)
  local n = #s
  return (n < 32 and char(160 + n) or n < 256 and "\217" .. char(n) or "\218" .. big(n, 2)) .. s
end

local function bin(s)
  local n = #s
  return (n < 256 and "\196" .. char(n) or n < 65536 and "\197" .. big(n, 2) or "\198" .. big(n, 4)) .. s
end

local function array(items)
  return (#items < 16 and char(144 + #items) or "\220" .. big(#items, 2)) .. concat(items)
end

-- A map of {key, encoded, key, encoded, ...}: keys stay in order.
local function map(fields)
  local n, out = #fields / 2, {}
  for i = 1, #fields, 2 do out[#out + 1] = str(fields[i]) .. fields[i + 1] end
  return (n < 16 and char(128 + n) or "\222" .. big(n, 2)) .. concat(out)
end

local function put(fields, key, encoded)
  if encoded then fields[#fields + 1], fields[#fields + 2] = key, encoded end
end

local function frame(fields)
  local body = map(fields)
  return whole_bytes(#body, 4) .. body
end

local function list(encode, values)
  local out = {}
  for i, v in ipairs(values) do out[i] = encode(v) end
  return array(out)
end

local HEADS = { -- tag: what, bytes of its number
  [192] = {"nil"}, [194] = {"bool"}, [195] = {"bool"}, [196] = {"text", 1}, [197] = {"text", 2},
  [198] = {"text", 4}, [202] = {"float", 4}, [203] = {"float", 8}, [204] = {"int", 1}, [205] = {"int", 2},
  [206] = {"int", 4}, [207] = {"int", 8}, [208] = {"signed", 1}, [209] = {"signed", 2}, [210] = {"signed", 4},
  [211] = {"signed", 8}, [217] = {"text", 1}, [218] = {"text", 2}, [219] = {"text", 4}, [220] = {"array", 2},
  [221] = {"array", 4}, [222] = {"map", 2}, [223] = {"map", 4},
}

-- The value at `at` and where the next begins; raises an error where the bytes are cut or no msgpack.
local function decode(s, at, depth)
  local tag = byte(s, at)
  if not tag or depth > 32 then error("cut, or nested without end", 0) end
  at = at + 1
  local what, v = "int", tag
  if tag >= 224 then return tag - 256, at
  elseif tag >= 192 then
    local head = HEADS[tag] or error("an extension type", 0)
    local size = head[2] or 0
    what = head[1]
    if at + size - 1 > #s then error("cut", 0) end
    local raw = sub(s, at, at + size - 1):reverse()
    at = at + size
    if what == "float" then return float(raw, 1, size), at end
    v = whole(raw, 1, size)
    if what == "signed" then return v >= 2 ^ (8 * size - 1) and floor(v - 2 ^ (8 * size)) or v, at end
  elseif tag >= 160 then what, v = "text", tag - 160
  elseif tag >= 144 then what, v = "array", tag - 144
  elseif tag >= 128 then what, v = "map", tag - 128
  end
  if what == "int" then return v, at
  elseif what == "nil" then return nil, at
  elseif what == "bool" then return tag == 195, at
  elseif v > #s - at + 1 then error("cut", 0)
  elseif what == "text" then return sub(s, at, at + v - 1), at + v
  end
  local out = {}
  for i = 1, v do
    local key = i
    if what == "map" then key, at = decode(s, at, depth + 1) end
    if key == nil or key ~= key then error("a map with a key of nil", 0) end
    out[key], at = decode(s, at, depth + 1)
  end
  return out, at
end

-- A message as a table, or nil. `raw_t` keeps the bytes of `t`: a pong must bring the same number.
local function read_message(body)
  local ok, message = pcall(function()
    local m, after = decode(body, 1, 0)
    if type(m) ~= "table" or after ~= #body + 1 then error("not one map", 0) end
    if m.type == "ping" and type(m.t) == "number" then
      local from = assert(body:find("\161t", 1, true)) + 2 -- a ping has no string that could hold this
      local _, to = decode(body, from, 0)
      m.raw_t = sub(body, from, to - 1)
    end
    return m
  end)
  return ok and message or nil
end

-- -- the client -----------------------------------------------------------------------------------

local Client = {}
Client.__index = Client

local PASSING = {} -- refusals and goodbyes after which the same words may be welcome later
for word in ("HELLO_TIMEOUT IDLE_TIMEOUT SLOW_READER LIMIT SHUTTING_DOWN INTERNAL " ..
             "shutdown idle slow_reader limit error"):gmatch "%S+" do
  PASSING[word] = true
end

local function want(ok, message, ...)
  if not ok then error(message:format(...), 3) end
  return ok
end

local function whole_number(v, low, high)
  return type(v) == "number" and v >= low and v <= high and v % 1 == 0
end

local function random_bytes()
  local source, out, seed = io and io.open and io.open("/dev/urandom", "rb"), {}, socket.gettime() * 1e6 % 2147483647
  for c in (tostring {} .. os.clock()):gmatch "." do seed = (seed * 31 + byte(c)) % 2147483647 end
  for i = 1, 16 do
    seed = seed * 16807 % 2147483647
    out[i] = char(floor(seed / 1024) % 256)
  end
  local bytes = source and source:read(16) or concat(out)
  if source then source:close() end
  return bytes
end

-- What hello says of the action. Sets how many numbers an action has, and how many choices in all.
local function action_map(client, action)
  local kind = action.kind
  local heads, fields = kind == "mixed" and action.heads or {}, {"kind", str(tostring(kind))}
  for i, v in ipairs(kind == "discrete" and {action.n} or kind == "multi_discrete" and action.n or {}) do heads[i] = {n = v} end
  for i, v in ipairs(kind == "box" and action.low or {}) do heads[i] = {low = v, high = action.high[i]} end
  want(heads[1], "action: want {kind = discrete | multi_discrete, n = ...}, {kind = box, low, high} or {kind = mixed, heads}")
  for i, head in ipairs(heads) do
    want(whole_number(head.n, 1, 65536) or (head.n == nil and tonumber(head.low) and tonumber(head.high)),
         "action: head %d: want 1 to 65536 choices, or low and high", i)
    client.choices = client.choices + (head.n or 0)
  end
  client.parts, client.floats = #heads, kind == "box" or kind == "mixed"
  put(fields, "n", kind == "discrete" and int(action.n) or kind == "multi_discrete" and list(int, action.n))
  put(fields, "low", kind == "box" and list(number, action.low))
  put(fields, "high", kind == "box" and list(number, action.high))
  put(fields, "heads", kind == "mixed" and list(function(head)
    local said = {}
    put(said, "n", head.n and int(head.n))
    put(said, "low", not head.n and number(head.low))
    put(said, "high", not head.n and number(head.high))
    put(said, "name", head.name and str(head.name))
    return map(said)
  end, heads))
  return map(fields)
end

-- The pairs of hello, but `resume`. A hello must be valid in the lowest version that it offers.
local function hello_fields(client, o)
  local observation = {}
  want(type(o.agent) == "string" and type(o.action) == "table", "want an agent's name and an action")
  want(type(o.observation) == "table" and o.observation[1], "observation: want a list of tensors")
  for i, t in ipairs(o.observation) do
    local size = NUMBERS[t.dtype] and NUMBERS[t.dtype][1]
    want(size and t.dtype ~= "uint32" and t.name, "observation %d: want a name, and dtype uint8, int8, int32, float16 or float32", i)
    for _, n in ipairs(t.shape) do size = size * want(whole_number(n, 1, 65536) and n, "%s: want a shape of 1 to 65536", t.name) end
    client.tensors[i] = {name = t.name, dtype = t.dtype, bytes = size}
    put(observation, t.name, map {"dtype", str(t.dtype), "shape", list(int, t.shape)})
  end
  local action = action_map(client, o.action)
  client.low = (client.floats or o.dt_ms or o.level) and 2 or 1
  local fields = {
    "type", str "hello", "protocol", list(int, o.protocol or {client.low, 2}),
    "client", str(o.client or "agentd-lua/" .. agentd.VERSION), "role", str(o.role or "train"),
    "run", bin(o.run or random_bytes()), "agent", str(o.agent), "observation", map(observation), "action", action,
    "streams", int(o.streams or 1)}
  put(fields, "token", o.token and str(o.token))
  put(fields, "explain", o.explain and "\195")
  put(fields, "deadline_ms", o.deadline_ms and int(o.deadline_ms))
  put(fields, "priority", o.priority and str(o.priority))
  put(fields, "dt_ms", o.dt_ms and number(o.dt_ms))
  put(fields, "level", o.level and number(o.level))
  return fields
end

--[[ Connect to `address` ("host", "host:port" or "[ipv6]:port") and return a client.
options: agent, observation, action; streams (1), role ("train", "eval", "play"), token, client, run,
explain, deadline_ms, priority, dt_ms; level: how strong to play as "eval" or "play", 0 to 100 (its best,
as without); wait_s: how long to try for the first connection (0: one try); retry_s: how long to try after
it broke (60); async = true: return at once, `poll` connects. ]]
function agentd.connect(address, options)
  local host, port = address:match "^%[(.-)%]:?(%d*)$"
  if not host then host, port = address:match "^([^:]+):?(%d*)$" end
  want(host, "address: want host, host:port or [ipv6]:port, got %s", address)
  local client = setmetatable({
    address = address, host = host, port = tonumber(port) or 7331, tensors = {}, choices = 0, frames = {}, pending = 0,
    wait_s = options.wait_s or 0, retry_s = options.retry_s or 60, state = "down", retry_at = 0, seq = 0, version = 0,
    input = "", output = "", settings = {}, reconnects = 0,
  }, Client)
  client.hello = hello_fields(client, options)
  if options.async then return client end
  local ok, e = client:_until_open()
  return ok and client, e
end

function Client:_hang_up(state)
  if self.socket then self.socket:close() end
  self.socket, self.state, self.connected = nil, state, false
  self.input, self.output, self.deaf = "", "", false
end

-- End for good.
function Client:_stop(code, message, more)
  self.over = type(code) == "table" and code or fault(code, self.address .. ": " .. message, more)
  self:_hang_up "over"
  return nil, self.over
end

-- End this connection and plan the next try: exponential, with full jitter.
function Client:_retry(e)
  if type(e) == "string" then e = fault("UNREACHABLE", self.address .. ": " .. e) end
  if self.state == "open" and self.now - self.began > 5 then self.give_up_at = nil end
  self:_hang_up "down"
  if not self.give_up_at then
    self.give_up_at, self.delay = self.now + (self.welcome and self.retry_s or self.wait_s), 0.05
  end
  local left, least = self.give_up_at - self.now, (e.retry_ms or 0) / 1000
  if left <= 0 or left < least then return self:_stop(e) end
  self.retry_at = self.now + math.min(left, math.max(math.random() * self.delay, least))
  self.delay = math.min(5, 2 * self.delay)
end

function Client:_dial()
  self.state, self.began, self.heard, self.pinged = "shaking", self.now, nil, nil
  self.socket = socket.tcp()
  self.socket:settimeout(0)
  local fields = {unpack(self.hello)}
  put(fields, "resume", self.session and bin(self.session))
  self.output = frame(fields)
  local ok, e = self.socket:connect(self.host, self.port)
  if not ok and e ~= "timeout" and e ~= "Operation already in progress" then return self:_retry(e) end
  self.socket:setoption("tcp-nodelay", true)
end

-- Send what the socket takes. A fault is left for `_receive` to find: there may be last words.
function Client:_flush()
  if self.output == "" or not self.socket or self.deaf then return end
  local sent, e, last = self.socket:send(self.output)
  self.output = sub(self.output, (sent or last or 0) + 1)
  self.deaf = e ~= nil and e ~= "timeout"
end

function Client:_pop()
  self.pending, self.give_up_at = self.pending - 1, nil
  return table.remove(self.frames, 1)
end

function Client:_welcome(m)
  local answered = self.seq - self.pending
  if not (whole_number(m.protocol, self.low, 2) and type(m.session) == "string" and whole_number(m.max_frame, 1, 2 ^ 32)
      and whole_number(m.max_rows, 1, 2 ^ 32) and whole_number(m.window, 1, 2 ^ 32) and type(m.heartbeat_s) == "number"
      and m.heartbeat_s > 0 and type(m.resumed) == "boolean" and whole_number(m.last_seq, 0, 2 ^ 53))
      or (m.resumed and (not self.session or m.last_seq > self.seq)) then
    return self:_stop("BAD_MESSAGE", "the server's welcome breaks the protocol")
  end
  if m.resumed and m.last_seq < answered then -- it lost its last seconds: begin a new session
    self.session = nil
    return self:_retry "the server has forgotten frames that it had answered"
  end
  if not m.resumed then
    self.seq, self.frames, self.pending, self.lost, self.begun = 0, {}, 0, self.begun, false
  end
  if self.welcome then self.reconnects = self.reconnects + 1 end
  self.welcome, self.session, self.state, self.connected = m, m.session, "open", true
  self.version, self.settings = m.version, m.game or {}
  for _, f in ipairs(self.frames) do self.output = self.output .. f.bytes end
end

function Client:_act(m)
  local f = self.frames[1]
  local size = f and f.n * self.parts * 4
  if not f or m.seq ~= f.seq or type(m.action) ~= "string" or #m.action ~= size or
      (m.q and (type(m.q) ~= "string" or #m.q ~= 4 * f.n * self.choices)) or
      (m.explored and (type(m.explored) ~= "string" or #m.explored ~= f.n)) then
    return self:_stop("BAD_MESSAGE", "the server's act does not fit the frame that is next")
  end
  self:_pop()
  self.version = m.version
  return {seq = m.seq, version = m.version, late = m.late or false,
          action = numbers(self.floats and "float32" or "int32", m.action),
          q = m.q and numbers("float32", m.q), explored = m.explored and numbers("uint8", m.explored)}
end

-- Act on one message; returns an answer, or nil and the error that is one.
function Client:_message(m)
  local kind = m.type
  if kind == "error" and type(m.code) == "string" and type(m.fatal) == "boolean" then
    local e = fault(m.code, tostring(m.message), m)
    if m.fatal and PASSING[m.code] then return self:_retry(e) end
    if m.fatal then return self:_stop(e) end
    self.refused = e
    if not m.seq then return end -- BAD_LOG: it answers nothing
    if self.frames[1] and self.frames[1].seq == m.seq then
      self:_pop()
      return nil, e
    end
  elseif kind == "goodbye" then
    if PASSING[m.reason] then return self:_retry "the server said goodbye" end
    return self:_stop("CLOSED", "the server said goodbye: " .. tostring(m.reason), {got = m.reason})
  elseif kind == "welcome" and self.state == "shaking" then return self:_welcome(m)
  elseif kind == "act" and self.state == "open" then return self:_act(m)
  elseif kind == "ping" and m.raw_t then
    if #self.output < FIRST_ANSWER then -- else bytes on the way will do
      self.output = self.output .. frame {"type", str "pong", "t", m.raw_t}
    end
    return
  elseif kind == "settings" and type(m.values) == "table" then
    self.settings = m.values
    return
  elseif kind == "pong" then return
  end
  return self:_stop("UNEXPECTED_MESSAGE", "the server sent what nobody asked for: " .. tostring(kind))
end

-- The body of the next whole frame, or nil; with an error where the server breaks the protocol.
function Client:_next_body()
  if #self.input < 4 then return end
  local n, most = whole(self.input, 1, 4), FIRST_ANSWER
  if self.state == "open" then
    local f = self.frames[1]
    most = most + self.welcome.max_frame + (f and f.n * (4 * self.parts + 4 * self.choices + 1) or 0)
  end
  if n > most then
    return self:_stop(self.state == "open" and "FRAME_TOO_LARGE" or "NOT_AGENTD",
                      "what answers there does not speak the protocol of a game port")
  end
  if #self.input < 4 + n then return end
  local body = sub(self.input, 5, 4 + n)
  self.input = sub(self.input, 5 + n)
  return body
end

-- Receive what is there: true when there was something.
function Client:_receive()
  local data, e, part = self.socket:receive(FIRST_ANSWER)
  data = data or part
  if data and data ~= "" then
    self.input, self.heard, self.pinged = self.input .. data, self.now, nil
    return true
  elseif e ~= "timeout" then
    self:_retry(e == "closed" and "the server closed the connection" or e)
    return self.state ~= "over"
  end
end

-- Give up a silent server (R9), or ask whether it is still there.
function Client:_listen()
  local beat = self.welcome and self.welcome.heartbeat_s
  if self.state == "shaking" and self.now - self.began > TRY_S then self:_retry "nobody says welcome there"
  elseif self.state == "open" and self.pinged and self.now - self.pinged > beat then self:_retry "the server is silent"
  elseif self.state == "open" and not self.pinged and self.now - self.heard > beat then
    self.output, self.pinged = self.output .. frame {"type", str "ping", "t", number(self.now)}, self.now
    self:_flush()
  end
end

-- One turn without waiting: an answer, or nil and an error, or nil when there is nothing to do now.
function Client:_turn(only_open)
  self.now = socket.gettime()
  for _ = 1, 1000 do
    if self.state == "over" then return nil, self.over end
    if self.lost then
      self.lost = false
      return nil, fault("SESSION_LOST", self.address .. ": a new session has begun; open episodes are gone")
    end
    if only_open and self.state == "open" then return true end
    if self.state == "down" then
      if self.now < self.retry_at then return nil end
      self:_dial()
    else
      local body, e = self:_next_body()
      if e then return nil, e end
      if body then
        local m = read_message(body)
        if not m then return self:_stop("BAD_FRAME", "the server sent what is no message") end
        local act, refusal = self:_message(m)
        if act or refusal then return act, refusal end
      else
        self:_flush()
        if not self:_receive() then
          if self.state ~= "over" then self:_listen() end
          return nil, self.over
        end
      end
    end
  end
end

function Client:_sleep()
  if self.socket then socket.select({self.socket}, self.output ~= "" and {self.socket} or nil, 1)
  else socket.sleep(math.max(0, math.min(1, self.retry_at - socket.gettime()))) end
end

function Client:_until_open()
  while true do
    local ok, e = self:_turn(true)
    if ok or e then return ok, e end
    self:_sleep()
  end
end

--[[ Send a frame without waiting. rows (R5): `kind` a list of n; `obs` by name a flat list of numbers or
their bytes; `reward` (0), `stream` (0, 1, ...), `mask`, `taken`, `by`, `elapsed`, `success`: lists.
Returns true; false when it was not taken yet (poll, and try again); nil and an error. ]]
function Client:send(rows)
  if self.over then return nil, self.over end
  if self.lost then return self:_turn() end
  if not self.session or self.pending >= self.welcome.window then return false end
  local n, fields, obs = #(rows.kind or {}), {"type", str "step", "seq", int(self.seq + 1)}, {}
  want(n > 0 and n <= self.welcome.max_rows, "kind: want 1 to %d rows, got %d", self.welcome.max_rows, n)
  want(rows.taken or not rows.by, "by: says who chose `taken`, and there is none")
  local stream, reward = rows.stream or {}, rows.reward or {}
  for i = 1, n do
    stream[i] = rows.stream and stream[i] or i - 1
    reward[i] = rows.reward and reward[i] or 0
  end
  local function add(to, name, dtype, values, width)
    local bytes = values and pack(dtype, values)
    want(not bytes or #bytes == n * width, "%s: want %d bytes for %d rows, got %d", name, n * width, n, #(bytes or ""))
    put(to, name, bytes and bin(bytes))
  end
  add(fields, "stream", "uint32", stream, 4)
  add(fields, "kind", "uint8", rows.kind, 1)
  add(fields, "reward", "float32", reward, 4)
  for _, t in ipairs(self.tensors) do
    add(obs, t.name, t.dtype, want(rows.obs and rows.obs[t.name], "obs.%s: missing", t.name), t.bytes)
  end
  put(fields, "obs", map(obs))
  add(fields, "mask", "uint8", rows.mask, self.choices)
  local version_1 = #fields
  add(fields, "taken", self.floats and "float32" or "int32", rows.taken, 4 * self.parts)
  add(fields, "by", "uint8", rows.by, 1)
  add(fields, "elapsed", "float32", rows.elapsed, 4)
  add(fields, "success", "uint8", rows.success, 1)
  if #fields > version_1 and self.welcome.protocol < 2 then
    return nil, fault("SERVER_TOO_OLD", fields[version_1 + 1] .. " needs protocol 2, which this server does not speak")
  end
  local bytes = frame(fields)
  want(#bytes - 4 <= self.welcome.max_frame, "want at most %d bytes a frame", self.welcome.max_frame)
  self.seq, self.pending, self.begun = self.seq + 1, self.pending + 1, true
  self.frames[self.pending] = {seq = self.seq, n = n, bytes = bytes}
  self.output = self.output .. (self.state == "open" and bytes or "")
  self:_flush()
  return true
end

--[[ The oldest answer, without waiting: {action = list, version, seq, late, q, explored}. Nil when there is
none yet; nil and an error when its frame was refused (`fatal` false, go on), when a new session has
begun (SESSION_LOST: every stream begins with a first row), or when it is over for good (`client.over`).
Call it in every round of the game's loop: it also answers pings and connects again. ]]
function Client:poll()
  return self:_turn()
end

-- As `poll`, and waits for it.
function Client:receive()
  while true do
    local act, e = self:_turn()
    if act or e then return act, e end
    want(self.pending > 0, "receive: no frame waits for an answer")
    self:_sleep()
  end
end

-- Send a frame and wait for its answer; a broken connection is made anew meanwhile (R7).
function Client:step(rows)
  want(self.pending == 0, "step: earlier answers wait, receive them first")
  while true do
    local sent, e = self:send(rows)
    if sent then return self:receive() end
    if e then return nil, e end
    sent, e = self:_until_open()
    if e then return nil, e end
  end
end

-- Show numbers of the game beside the agent's (R16): {name = number}. True; false when not connected.
function Client:log(values)
  local fields = {}
  for name, v in pairs(values) do
    want(#name > 0 and #name < 65 and not name:find "[^a-z0-9_./-]", "log: want names of 1 to 64 of a-z 0-9 _ . / -")
    want(v == v and v < huge and v > -huge, "log: %s: want a finite number", name)
    put(fields, name, number(v))
  end
  want(#fields <= 64, "log: want at most 32 numbers")
  if self.over then return nil, self.over end
  if self.state ~= "open" then return false end
  if self.welcome.protocol < 2 then return nil, fault("SERVER_TOO_OLD", "log needs protocol 2") end
  self.output = self.output .. frame {"type", str "log", "values", map(fields)}
  self:_flush()
  return true
end

-- Say goodbye on this connection and wait for the server to close it, 2 s at most.
function Client:_farewell()
  local till = self.state == "open" and socket.gettime() + 2 or 0
  self.output = self.output .. frame {"type", str "goodbye", "reason", str "client_done"}
  while socket.gettime() < till do
    self:_flush()
    local data, e = self.socket:receive(FIRST_ANSWER)
    if not data and e ~= "timeout" then break end
    if not data then socket.select({self.socket}, self.output ~= "" and {self.socket} or nil, 0.1) end
  end
end

-- After a refused frame, where the game has no right one to send: end the open episodes as truncated
-- where they stand. The next frame begins an episode (FIRST) in every stream.
function Client:abandon()
  if self.over then return end
  self:_farewell()
  self:_hang_up "down"
  self.session, self.lost, self.begun, self.give_up_at = nil, false, false, nil
  self.seq, self.pending, self.frames, self.retry_at = 0, 0, {}, 0
end

-- Say goodbye and end. Open episodes end as truncated.
function Client:close()
  self:_farewell()
  if not self.over then self:_stop("CLOSED", "the client was closed") end
end

agentd._codec = {decode = decode, int = int, number = number, str = str, bin = bin, array = array, map = map,
                 pack = pack, numbers = numbers, float_bytes = float_bytes}
return agentd
