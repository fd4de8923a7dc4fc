# Catch: a ball falls, a paddle waits at the bottom and learns. The arrow keys take the paddle.
# catch.tscn holds AgentdClient, and below it AgentdAgent, whose signal `acted` calls `play`.
extends Node2D

const ROWS = 10
const COLUMNS = 5
const CELL = Vector2(40, 40)

var ball = Vector2()  # column, row
var paddle = 0
var episodes = 0
var mean = 0.0  # return of the last 100 episodes, about
@onready var agent = get_node("AgentdClient/AgentdAgent")


func _process(_delta):
	if not agent.is_playing():
		begin()


func begin():
	ball = Vector2(randi() % COLUMNS, 0)
	paddle = 2
	agent.observe(board())


# Move the paddle left (0), not (1) or right (2), drop the ball, say what happened.
func play(action):
	var key = int(Input.is_action_pressed("ui_right")) - int(Input.is_action_pressed("ui_left"))
	if key != 0:
		action = 1 + key
		agent.take_over(action)
	paddle = int(clamp(paddle + action - 1, 0, COLUMNS - 1))
	ball.y += 1
	if ball.y < ROWS - 1:
		agent.observe(board())
	else:
		var reward = 1.0 if ball.x == paddle else -1.0
		agent.finish(board(), reward, true, {"success": reward > 0})
		episodes += 1
		mean += (reward - mean) / min(episodes, 100)
		begin()
	queue_redraw()


func board():
	var cells = []
	for i in range(ROWS * COLUMNS):
		cells.append(1.0 if i == ball.y * COLUMNS + ball.x or i == (ROWS - 1) * COLUMNS + paddle else 0.0)
	return cells


func _draw():
	draw_rect(Rect2(ball * CELL, CELL), Color(1, 1, 1))
	draw_rect(Rect2(Vector2(paddle, ROWS - 1) * CELL, CELL), Color(1, 0.5, 0))
