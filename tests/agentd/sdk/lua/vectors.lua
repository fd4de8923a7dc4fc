-- What the Lua client makes of PROTOCOL.md: `vectors.lua says` prints what it says, as lines "name hex";
-- `vectors.lua hears` reads the hex of server frames and prints what it made of them; `vectors.lua numbers`
-- packs and unpacks numbers. The client plays to a socket that is none: bytes stay where a test sees them.
local agentd = require "agentd"
local codec = agentd._codec

local function hex(s)
  return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function unhex(s)
  return (s:gsub("%x%x", function(c) return string.char(tonumber(c, 16)) end))
end

local function range(from, n)
  local out = {}
  for i = 0, n - 1 do out[i + 1] = string.char(from + i) end
  return table.concat(out)
end

local function made(changes)
  local o = {agent = "catch", client = "catch-demo", streams = 2, run = range(0, 16), async = true, protocol = {1, 1},
             observation = {{name = "board", dtype = "float32", shape = {2}}}, action = {kind = "discrete", n = 3}}
  for key, value in pairs(changes or {}) do o[key] = value end
  return agentd.connect("127.0.0.1:1", o)
end

local said = {} -- what the client sends over this socket
local wire = {send = function(_, data) said[#said + 1] = data; return #data end, close = function() end,
              receive = function() return nil, "timeout", "" end, settimeout = function() end,
              connect = function() return nil, "timeout" end, setoption = function() end}

local function say_hello(name, changes, resume)
  local client = made(changes)
  client.session = resume
  package.loaded.socket.tcp = function() return wire end
  client.now = 0
  client:_dial()
  print(name, hex(client.output))
end

local function open(protocol, changes)
  local client = made(changes)
  client.socket, client.state, client.session = wire, "open", range(0, 16)
  client.now, client.began, client.heard, client.retry_s = 0, 0, 0, 0
  client.welcome = {protocol = protocol, window = 8, max_rows = 4096, max_frame = 8388608, heartbeat_s = 15}
  return client
end

local function last(name)
  print(name, hex(table.concat(said)))
  said = {}
end

local function written(values)
  local out = {}
  for i, v in ipairs(values or {}) do out[i] = ("%g"):format(v) end
  return table.concat(out, ",")
end

package.loaded.socket.gettime = function() return 0 end -- no heartbeat is due
if arg[1] == "says" then
  say_hello "hello"
  say_hello("hello-resume", {}, range(0xa0, 16))
  say_hello("hello-newer", {protocol = {1, 2}, dt_ms = 16.7})
  say_hello("hello-level", {protocol = false, role = "play", level = 40}) -- by itself it offers 2 alone
  say_hello("hello-multi", {client = "arena/2.1", role = "play", agent = "arena.v2", streams = 1,
    observation = {{name = "view", dtype = "uint8", shape = {3, 8, 8}}, {name = "ammo", dtype = "int32", shape = {}}},
    action = {kind = "multi_discrete", n = {3, 2}}, token = "a-token-of-16-chars", explain = true, deadline_ms = 50,
    priority = "bulk"})
  local see = {{name = "see", dtype = "float32", shape = {8}}}
  say_hello("hello-box", {client = "car", agent = "car", streams = 1, observation = see, protocol = {2, 2},
    action = {kind = "box", low = {-1, 0}, high = {1, 1}}})
  say_hello("hello-mixed", {client = "car", agent = "car.shift", streams = 1, observation = see, protocol = {2, 2},
    action = {kind = "mixed", heads = {{low = -1, high = 1, name = "wheel"}, {n = 3}}}})
  local client = open(2)
  client.seq = 6
  client:send {stream = {0, 1, 1}, kind = {1, 2, 0}, reward = {0.5, -1, 0}, obs = {board = {1, 0, 0, 1, 0.25, 0.75}},
               mask = {1, 1, 0, 1, 1, 1, 0, 1, 1}}
  last "step"
  client:send {kind = {1, 2}, reward = {0, 1}, obs = {board = {1, 0, 0, 1}}, taken = {2, 1}, by = {1, 0},
               elapsed = {2, 1}, success = {0, 1}}
  last "step-taken"
  client.input = unhex "1600000082a474797065a470696e67a174cb4029000000000000"
  client:poll()
  last "pong"
  client:log {fuel = 0.25}
  last "log-of-fuel"
  wire.receive = function() return nil, "closed" end
  client:close()
  last "goodbye"
elseif arg[1] == "hears" then
  for line in io.lines() do
    local frame = unhex(line)
    local body = frame:sub(5)
    local m = codec.decode(body, 1, 0)
    local client = open(2, m.q and {action = {kind = "multi_discrete", n = {3, 2}}, explain = true})
    if m.type == "welcome" then client.state, client.seq, client.began = "shaking", 7, 0 end
    if m.seq then client.seq, client.pending, client.frames = m.seq, 1, {{seq = m.seq, n = m.q and 1 or m.seq == 9 and 2 or 3}} end
    client.input = frame
    local act, e = client:_turn()
    local out = {}
    if act then
      out = {"act", act.seq, act.version, tostring(act.late), written(act.action), written(act.q), written(act.explored)}
    elseif e then
      out = {e.code, e.message, e.field or "", e.expected or "", e.got or "", e.retry_ms or 0}
    elseif m.type == "welcome" then
      out = {"welcome", client.welcome.protocol, client.welcome.window, client.welcome.heartbeat_s,
             tostring(client.welcome.resumed), hex(client.session)}
    end
    out[#out + 1] = client.settings.level or -1
    for i, v in ipairs(out) do out[i] = type(v) == "number" and ("%g"):format(v) or v end
    print(table.concat(out, "|"))
  end
else
  local all = {float32 = {0, 1, -1.5, 3.14159274101257, 1e-45, 1.17549435e-38, 3.4e38, 1 / 0, -1 / 0, 2 ^ -130, 16777217},
               int32 = {0, 1, -1, 2147483647, -2147483648}, uint8 = {0, 255}}
  for _, dtype in ipairs {"float32", "int32", "uint8"} do
    local bytes = codec.pack(dtype, all[dtype])
    local back = codec.numbers(dtype, bytes)
    print(dtype, hex(bytes), hex(codec.pack(dtype, back)))
  end
  local doubles = {}
  for _, v in ipairs {0.1, -2.5e-308, 1.7e308, 5e-324, 12.5} do doubles[#doubles + 1] = hex(codec.float_bytes(v, 8)) end
  print("float64", table.concat(doubles), table.concat(doubles))
end
