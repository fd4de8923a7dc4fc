# One player of the game. Call `observe` in every step of the game, play `action`, call `finish` at
# the end of an episode.
class_name AgentdAgent
extends "agent_node.gd"

export(NodePath) var client = NodePath("..")


func _ready():
	_join(get_node(client))
