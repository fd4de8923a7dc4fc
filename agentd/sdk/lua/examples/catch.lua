-- Catch: a ball falls through 10 rows, a paddle below moves left, stays or moves right; +1 if it
-- catches the ball, -1 if not. lua examples/catch.lua [ADDRESS] [EPISODES] [ROLE] [show]
package.path = (arg[0]:match "^(.*)examples[/\\]" or "./") .. "?.lua;" .. package.path
local agentd = require "agentd"
local ROWS, COLUMNS = 10, 5

local client, e = agentd.connect(arg[1] or "127.0.0.1:7331", {
  agent = "catch", role = arg[3] or "train", action = {kind = "discrete", n = 3},
  observation = {{name = "board", dtype = "float32", shape = {ROWS, COLUMNS}}},
})
if not client then
  io.stderr:write(tostring(e), "\n")
  os.exit(1)
end

local function draw(row, column, paddle)
  local board = {}
  for i = 1, ROWS * COLUMNS do board[i] = 0 end
  board[row * COLUMNS + column + 1] = 1
  board[(ROWS - 1) * COLUMNS + paddle + 1] = 1
  return board
end

local function show(board)
  local lines = {"\27[H\27[J"}
  for i, cell in ipairs(board) do
    lines[#lines + 1] = cell == 0 and " ." or i > (ROWS - 1) * COLUMNS and " =" or " o"
    if i % COLUMNS == 0 then lines[#lines + 1] = "\n" end
  end
  io.write(table.concat(lines))
  require "socket".sleep(0.06)
end

math.randomseed(os.time())
local sum, episode, kind, reward, row, column, paddle = 0, 0, agentd.FIRST, 0, 0, 0, 0
while episode < tonumber(arg[2] or 2000) do
  if kind == agentd.FIRST then
    row, column, paddle, reward = 0, math.random(0, COLUMNS - 1), math.floor(COLUMNS / 2), 0
  end
  local board = draw(row, column, paddle)
  if arg[4] then show(board) end
  local act, why = client:step {kind = {kind}, reward = {reward}, obs = {board = board}}
  if client.over then error(tostring(why)) end
  if not act then -- refused, or the session was lost: begin anew
    if why.code ~= "SESSION_LOST" then client:abandon() end
    kind = agentd.FIRST
  elseif kind == agentd.TERMINATED then
    episode, sum, kind = episode + 1, sum + reward, agentd.FIRST
    if episode % 100 == 0 then
      print(("episode %d mean %.2f"):format(episode, sum / 100))
      io.stdout:flush()
      sum = 0
    end
  else
    paddle = math.max(0, math.min(COLUMNS - 1, paddle + act.action[1] - 1))
    row, kind = row + 1, agentd.MID
    if row == ROWS - 1 then kind, reward = agentd.TERMINATED, paddle == column and 1 or -1 end
  end
end
client:close()
