# Catch: a ball falls, a paddle waits at the bottom and learns. The arrow keys take the paddle.
extends Node2D

const Client = preload("res://addons/agentd/client.gd")
const Agent = preload("res://addons/agentd/agent.gd")
const ROWS = 10
const COLUMNS = 5

export var address = "127.0.0.1:7331"
export(String, "train", "eval") var role = "train"
var client = Client.new()
var agent = Agent.new()
var ball = Vector2()  # column, row
var paddle = 0
var episodes = 0
var mean = 0.0  # return of the last 100 episodes, about


func _ready():
	client.address = address
	client.role = role
	client.agent = "catch"
	client.observation = {"board": ["float32", [ROWS, COLUMNS]]}
	client.action = [3]
	client.add_child(agent)
	add_child(client)
	agent.connect("acted", self, "play")
	client.connect("opened", self, "begin")


func begin():
	randomize()
	ball = Vector2(randi() % COLUMNS, 0)
	paddle = COLUMNS / 2
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


func board():
	var cells = []
	for i in range(ROWS * COLUMNS):
		cells.append(1.0 if i == ball.y * COLUMNS + ball.x or i == (ROWS - 1) * COLUMNS + paddle else 0.0)
	return cells
