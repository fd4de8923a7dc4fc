-- CartPole: push a cart left or right so that its pole stays up; 500 steps are the best return.
-- lua examples/cartpole.lua [ADDRESS] [EPISODES] [ROLE]
package.path = (arg[0]:match "^(.*)examples[/\\]" or "./") .. "?.lua;" .. package.path
local agentd = require "agentd"

local client, e = agentd.connect(arg[1] or "127.0.0.1:7331", {
  agent = "cartpole", role = arg[3] or "train", action = {kind = "discrete", n = 2},
  observation = {{name = "state", dtype = "float32", shape = {4}}},
})
if not client then
  io.stderr:write(tostring(e), "\n")
  os.exit(1)
end

local function push(s, right) -- 20 ms by Euler's rule, as Gymnasium's CartPole-v1
  local x, v, angle, spin = s[1], s[2], s[3], s[4]
  local c, n, force = math.cos(angle), math.sin(angle), right and 10 or -10
  local drive = (force + 0.05 * (spin * spin) * n) / 1.1
  local turn = (9.8 * n - c * drive) / (0.5 * (4 / 3 - 0.1 * (c * c) / 1.1))
  return {x + 0.02 * v, v + 0.02 * (drive - 0.05 * turn * c / 1.1), angle + 0.02 * spin, spin + 0.02 * turn}
end

math.randomseed(os.time())
local total, episode, kind, steps, s = 0, 0, agentd.FIRST, 0, {}
while episode < tonumber(arg[2] or 300) do
  if kind == agentd.FIRST then
    for i = 1, 4 do s[i] = math.random() * 0.1 - 0.05 end
    steps = 0
  end
  local act, why = client:step {kind = {kind}, reward = {1}, obs = {state = s}}
  if client.over then error(tostring(why)) end
  if not act then -- refused, or the session was lost: begin anew
    if why.code ~= "SESSION_LOST" then client:abandon() end
    kind = agentd.FIRST
  elseif kind >= agentd.TERMINATED then
    episode, total, kind = episode + 1, total + steps, agentd.FIRST
    if episode % 10 == 0 then
      print(("episode %d mean %.1f"):format(episode, total / 10))
      io.stdout:flush()
      total = 0
    end
  else
    s, steps, kind = push(s, act.action[1] == 1), steps + 1, agentd.MID
    if math.abs(s[1]) > 2.4 or math.abs(s[3]) > 12 * 2 * math.pi / 360 then kind = agentd.TERMINATED
    elseif steps == 500 then kind = agentd.TRUNCATED end
  end
end
client:close()
