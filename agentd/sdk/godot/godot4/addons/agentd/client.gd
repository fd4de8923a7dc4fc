# A connection to an agentd daemon, for any number of AgentdAgent below or beside it.
class_name AgentdClient
extends "client_node.gd"

@export var address := "127.0.0.1:7331"
@export var agent := "godot"
## Sensors by name: {"see": ["float32", [8]]}.
@export var observation := {}
## Choices of each branch: [3] is one of three actions, [3, 2] two actions at once.
@export var action: Array[int] = [2]
@export_enum("train", "eval", "play") var role := "train"
## How many AgentdAgent share this connection.
@export var streams := 1
@export var token := ""
## Nominal milliseconds between two observations; 0: not said.
@export var dt_ms := 0.0
## How strong to play in the roles eval and play; 100: at its best.
@export_range(0, 100, 0.1) var level := 100.0


func options() -> Dictionary:
	var found := {
		"address": address,
		"agent": agent,
		"observation": observation,
		"action": action[0] if action.size() == 1 else Array(action),
		"role": role,
		"streams": streams,
	}
	if token != "":
		found["token"] = token
	if dt_ms > 0:
		found["dt_ms"] = dt_ms
	if level != 100:
		found["level"] = level
	return found
