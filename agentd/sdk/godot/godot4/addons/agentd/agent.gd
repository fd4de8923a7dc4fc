# One player of the game. Call `observe` in every step of the game, play `action`, call `finish` at
# the end of an episode.
class_name AgentdAgent
extends "agent_node.gd"

@export var client: NodePath = ^".."


func _ready() -> void:
	_join(get_node(client))
