# What AgentdClient does; client.gd beside it adds the properties, in the words of its version.
extends Node

signal opened  # a session is open, perhaps after the connection broke
signal answered(answer)  # what a step was answered
signal failed(fault)  # see Fault in session.gd; after a fatal one nothing follows
signal settings_changed(values)  # numbers that the agent's operator gives to the game

const Session = preload("session.gd")

var session = Session.new()
var _agents = []  # by stream
var _queue = []  # rows of the next step
var _on_the_way = []  # rows of every step without an answer
var _open = false
var _settings = session.settings


# Called by each AgentdAgent; returns its stream.
func register(agent):
	if not session.is_alive():
		var o = options()
		session.open(o.address, o.agent, o.observation, o.action, o)
		process_priority = -1000  # before the game: it shall play the newest answers
	_agents.append(agent)
	return _agents.size() - 1


# The rows of a stream that wait to be sent.
func queued(stream):
	var found = []
	for row in _queue:
		if row.stream == stream:
			found.append(row)
	return found


func queue(row):
	_queue.append(row)


func unqueue(row):
	_queue.erase(row)


func options():
	return {}


func _process(_delta):
	if not session.is_alive():
		return
	var answer = session.poll()
	while answer != null:
		_answered(answer)
		answer = session.poll()
	if session.fault != null:
		_failed(session.fault)
	_tell_changes()
	call_deferred("_send")  # behind the game: what it saw in this frame goes out in this frame


func _send():
	if _queue.size() > 0 and session.can_send():
		if session.send(_queue):
			_on_the_way.append(_queue)
		else:
			_failed(session.fault)
		_queue = []


func _exit_tree():
	if session.is_alive():
		session.close()


func _answered(answer):
	var rows = _on_the_way.pop_front()
	for i in range(rows.size()):
		if rows[i].kind < Session.TERMINATED:
			_agents[rows[i].stream].receive(answer.actions[i], rows[i])
	emit_signal("answered", answer)


# Nobody knows where the episodes stand: every agent begins a new one.
func _failed(fault):
	if not fault.fatal and fault.code != "SESSION_LOST":
		session.abandon()
	_queue = []
	_on_the_way = []
	for agent in _agents:
		agent.begin_anew()
	emit_signal("failed", fault)


func _tell_changes():
	if session.is_open() and not _open:
		emit_signal("opened")
	_open = session.is_open()
	if session.settings != _settings:
		_settings = session.settings
		emit_signal("settings_changed", _settings)
