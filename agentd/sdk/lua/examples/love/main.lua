-- Catch for LÖVE: `love examples/love` beside a running `agentd serve`. The agent moves the paddle and
-- learns; hold an arrow key to play yourself: the agent learns from that too.
package.path = love.filesystem.getSource() .. "/../../?.lua;" .. package.path
local agentd = require "agentd"
local ROWS, COLUMNS, CELL = 10, 5, 48
local client, ball, paddle, kind, reward, waiting, taken, clock, caught, thrown

local function drop()
  ball, paddle, kind, reward = {row = 0, column = love.math.random(0, COLUMNS - 1)}, 2, agentd.FIRST, 0
end

function love.load()
  love.window.setMode(COLUMNS * CELL, ROWS * CELL)
  client = agentd.connect("127.0.0.1:7331", {
    agent = "catch", action = {kind = "discrete", n = 3}, async = true, retry_s = 1e9, wait_s = 1e9,
    observation = {{name = "board", dtype = "float32", shape = {ROWS, COLUMNS}}}})
  clock, caught, thrown = 0, 0, 0
  drop()
end

local function move(action) -- what the agent answered, or the player's keys
  local person = love.keyboard.isDown "left" and 0 or love.keyboard.isDown "right" and 2
  taken = {kind == agentd.FIRST and 0 or person or action, person and agentd.BY_PERSON or agentd.BY_AGENT}
  if kind == agentd.TERMINATED then return drop() end
  taken[1] = person or action
  paddle = math.max(0, math.min(COLUMNS - 1, paddle + taken[1] - 1))
  ball.row, kind = ball.row + 1, agentd.MID
  if ball.row == ROWS - 1 then
    kind, reward, thrown = agentd.TERMINATED, ball.column == paddle and 1 or -1, thrown + 1
    if reward == 1 then caught = caught + 1 end
  end
end

function love.update(dt)
  clock = clock + dt
  local act, e = client:poll() -- never waits
  if act then waiting = false; move(act.action[1])
  elseif e and e.code == "SESSION_LOST" then waiting = false; drop()
  elseif e then error(tostring(e)) end
  if waiting or clock < 0.05 then return end
  local board = {}
  for i = 1, ROWS * COLUMNS do board[i] = 0 end
  board[ball.row * COLUMNS + ball.column + 1], board[(ROWS - 1) * COLUMNS + paddle + 1] = 1, 1
  local first = kind == agentd.FIRST
  local sent = client:send {kind = {kind}, reward = {reward}, obs = {board = board},
                            taken = not first and {taken[1]} or nil, by = not first and {taken[2]} or nil}
  if sent then waiting, clock = true, 0 end
end

function love.draw()
  love.graphics.rectangle("fill", ball.column * CELL, ball.row * CELL, CELL, CELL)
  love.graphics.rectangle("fill", paddle * CELL, (ROWS - 1) * CELL + CELL / 2, CELL, CELL / 2)
  love.graphics.print(("%d of %d caught%s"):format(caught, thrown, client.connected and "" or " (not connected)"), 4, 4)
end
