-- A game that uses all that the client has: `game.lua ADDRESS STEPS [WORD ...]`, as game.c of the C client:
-- two streams, two tensors, two branches, masks, explain, a script that takes over, elapsed, success, log
-- and settings. Words: poll (a frame loop that never waits), box, mixed, nan, patient, play (the role), level=40.
local agentd = require "agentd"
local socket = require "socket"
local unpack = table.unpack or unpack
local address, steps, words = arg[1], tonumber(arg[2]), {}
local level
for i = 3, #arg do
  words[arg[i]] = true
  level = arg[i]:match "^level=(.+)$" or level
end
level = level == "nan" and 0 / 0 or tonumber(level)

local multi = not words.box and not words.mixed
local client, e = agentd.connect(address, {
  agent = words.box and "boxed" or words.mixed and "mixture" or "game", client = "game", streams = 2,
  observation = {{name = "place", dtype = "float32", shape = {2}}, {name = "seen", dtype = "uint8", shape = {3}}},
  action = words.box and {kind = "box", low = {-1, 0}, high = {1, 2}}
    or words.mixed and {kind = "mixed", heads = {{low = -1, high = 1, name = "wheel"}, {n = 3}}}
    or {kind = "multi_discrete", n = {3, 2}},
  explain = multi, wait_s = words.patient and 30 or 0, async = words.poll, role = words.play and "play", level = level,
})
if not client then
  print(("%s|%s|%s|%s"):format(e.code, e.field or "", e.expected or "", e.got or ""))
  os.exit(1)
end

local at = {[0] = 0, [1] = 0} -- moments of each stream's episode
local LEGAL = {[0] = {1, 0, 1, 1, 1}, [1] = {1, 1, 1, 1, 0}}

local function fill(number)
  local f = {kind = {}, stream = {}, reward = {}, obs = {place = {}, seen = {}}, mask = {}, taken = {}, by = {},
             elapsed = {}, success = {}}
  local function push(list, ...)
    for _, v in ipairs {...} do list[#list + 1] = v end
  end
  local function add(stream, kind)
    push(f.kind, kind)
    push(f.stream, stream)
    push(f.reward, kind == agentd.TERMINATED and 1 or -0.25)
    push(f.obs.place, at[stream], 0.5)
    push(f.obs.seen, 200 + at[stream], 200, 200)
    push(f.mask, unpack(LEGAL[stream]))
    push(f.taken, 0, 0)
    push(f.by, agentd.BY_SCRIPT)
    push(f.elapsed, 1.5)
    push(f.success, kind == agentd.TERMINATED and 1 or 0)
  end
  for s = 0, 1 do
    local last = s == 0 and 9 or 6
    add(s, at[s] == 0 and agentd.FIRST or at[s] < last and agentd.MID or s == 0 and agentd.TERMINATED or agentd.TRUNCATED)
    at[s] = at[s] + 1
    if at[s] > last then
      at[s] = 0
      add(s, agentd.FIRST)
      at[s] = 1
    end
  end
  if not multi then f.mask = nil end
  if number % 5 ~= 4 then f.taken, f.by, f.elapsed, f.success = nil, nil, nil, nil end
  return f
end

local number, answers, refused, lost, bad = 0, 0, 0, 0, 0
local f, first_refusal = fill(number), ""
while answers < steps and not client.over do
  local newer, act, why = client.welcome and client.welcome.protocol > 1
  if not newer then f.taken, f.by, f.elapsed, f.success = nil, nil, nil, nil end
  if words.nan and number == 7 and refused == 0 then f.obs.place[1] = 0 / 0 end
  if newer and number % 100 == 0 then client:log {["game/steps"] = number} end
  if words.poll then
    local sent
    sent, why = client:send(f)
    if sent then number = number + 1; f = fill(number)
    elseif not why then socket.sleep(0.001) end -- a game would draw its picture here
    if not why then act, why = client:poll() end
  else
    act, why = client:step(f)
    if act then number = number + 1; f = fill(number) end
  end
  if act then
    answers = answers + 1
    for _, a in ipairs(act.action) do
      if multi and (a < -1 or a > 2 or a % 1 ~= 0 or not act.q or not act.explored) then bad = bad + 1 end
      if not multi and a == a and not (a >= -1 and a <= 2) then bad = bad + 1 end
    end
  elseif why and not client.over then
    if why.code == "SESSION_LOST" then lost = lost + 1
    else
      refused = refused + 1
      first_refusal = first_refusal ~= "" and first_refusal or ("%s|%s|%s|%d "):format(why.code, why.field, why.got, why.seq)
      client:abandon()
    end
    at[0], at[1] = 0, 0
    f = fill(number)
  end
end
local tail = ""
if client.over then
  local o = client.over
  tail = (" %s|%s|%s|%s"):format(o.code, o.field or "", o.expected or "", o.got or "")
end
print(("%sanswers %d bad %d refused %d lost %d reconnects %d level %g%s"):format(first_refusal, answers, bad, refused, lost,
  client.reconnects, client.settings.level or -1, tail))
client:close()
os.exit(answers < steps and 1 or 0)
