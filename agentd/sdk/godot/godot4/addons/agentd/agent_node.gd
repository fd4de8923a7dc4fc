# What AgentdAgent does: one player of the game, a stream of its AgentdClient. agent.gd beside it
# adds the property, in the words of its version.
extends Node

signal acted(action)  # an int, or an array of several heads

const Session = preload("session.gd")

var action = null  # the newest answer; null until an episode has its first: wait for it
var _client = null
var _stream = -1
var _episode = 0  # changes with every episode
var _open = false  # an episode is under way
var _unanswered = 0  # rows of this episode
var _carried = 0.0  # reward of moments that were not sent
var _played = null
var _by = 0


# Say what the agent sees now, and the reward since the last time. Begins an episode where none is
# under way. Returns false where this moment is left out, because the first answer of the episode is
# not there yet or the daemon is far behind: the reward is kept for the next time.
func observe(obs, reward = 0.0, facts = {}):
	if _client.queued(_stream).size() > (0 if _open else 1) or (_open and action == null):
		_carried += reward
		return false
	if not _open:
		_begin()
	_queue(Session.MID if _unanswered > 0 or action != null else Session.FIRST, obs, reward, facts)
	_unanswered += 1
	return true


# End the episode with its last sight and reward. terminated: the game itself ended; false: a time
# limit or a restart. The next `observe` begins a new one. facts: mask, elapsed, success.
func finish(obs, reward, terminated = true, facts = {}):
	var waiting = _client.queued(_stream)
	if not _open:
		return
	_open = false
	if waiting.size() > 0:
		_client.unqueue(waiting[-1])
		if waiting[-1].kind == Session.FIRST:
			return  # nothing of this episode was ever sent
		_carried += waiting[-1].reward
	_queue(Session.TERMINATED if terminated else Session.TRUNCATED, obs, reward, facts)
	action = null


# True while an episode is under way.
func is_playing():
	return _open


# Say that this was played since the last `observe`, not the agent's answer: it learns from it.
func take_over(played, by = Session.BY_PERSON):
	_played = played
	_by = by


# Called by the client.
func receive(answer, row):
	if not _open or row["episode"] != _episode:
		return
	_unanswered -= 1
	action = answer
	emit_signal("acted", answer)


# Called by the client when the session is lost.
func begin_anew():
	_open = false
	action = null


func _begin():
	_open = true
	_episode += 1
	_unanswered = 0
	_carried = 0.0
	action = null


func _queue(kind, obs, reward, facts):
	var row = {"stream": _stream, "kind": kind, "obs": obs, "reward": reward + _carried}
	row["episode"] = _episode
	for key in facts:
		row[key] = facts[key]
	if _played != null:
		row["taken"] = _played
		row["by"] = _by
	elif _unanswered > 0 and action != null:
		row["taken"] = action  # the answer is late: the one before it was played
	_played = null
	_by = 0
	_carried = 0.0
	_client.queue(row)


func _join(client):
	_client = client
	_stream = client.register(self)
