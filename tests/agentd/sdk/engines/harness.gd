# What the tests ask of the Godot addon: -s harness.gd CASE [ADDRESS] [NUMBER]. Results begin with =>.
extends SceneTree

const Session = preload("res://addons/agentd/session.gd")
const MsgPack = preload("res://addons/agentd/msgpack.gd")
const Rows = preload("res://addons/agentd/rows.gd")
const Catch = preload("res://examples/catch.gd")
const Client = preload("res://addons/agentd/client.gd")
const Agent = preload("res://addons/agentd/agent.gd")
const Pole = preload("res://examples/cartpole.gd")
const BOARD = {"board": ["float32", [2]]}

var mode = ""
var address = ""
var number = 0
var game = null
var client = null
var agents = []
var frames = 0
var finished = 0
var faults = []


func _init():
	var given = []
	for word in OS.get_cmdline_args():
		given = given + [word] if given.size() > 0 or word.ends_with("harness.gd") else given
	mode = given[1]
	address = given[2] if given.size() > 2 else ""
	number = int(given[3]) if given.size() > 3 else 0
	OS.low_processor_usage_mode_sleep_usec = 100  # without a window 7 ms of every frame
	if mode in ["catch", "catch-eval"]:
		game = load("res://examples/catch.tscn").instance()
		game.get_node("AgentdClient").address = address
		game.get_node("AgentdClient").role = "eval" if mode == "catch-eval" else "train"
		get_root().add_child(game)
	elif mode == "nodes":
		_make_nodes()
	else:
		var code = call(mode)
		OS.exit_code = code if code != null else 0
		quit()


func _idle(_delta):
	frames += 1
	if game != null and game.episodes >= number:
		tell(game.mean)
		quit()
	if mode == "nodes":
		_play_nodes()


func tell(what):
	print("=>", what)


func vectors():
	var codec = MsgPack.new()
	for line in lines():
		var value = codec.unpack(unhex(line))
		if codec.failed:
			tell("failed")
			continue
		tell(text(value) + "\t" + hexed(codec.pack(value)))
	for wrong in ["", "81a161", "c1", "81a161c402", "8000", "de0001", "dc0002c0"]:
		codec.unpack(unhex(wrong))
		tell(codec.failed)


func build():
	var catch_demo = {"client": "catch-demo", "streams": 2}
	hello("hello", 1, "catch", BOARD, 3, catch_demo)
	hello("hello-resume", 1, "catch", BOARD, 3, catch_demo)
	hello("hello-newer", 2, "catch", BOARD, 3, {"client": "catch-demo", "streams": 2, "dt_ms": 16.7})
	catch_demo["role"] = "play"
	catch_demo["level"] = 40
	hello("hello-level", 2, "catch", BOARD, 3, catch_demo)
	hello(
		"hello-multi", 1, "arena.v2", {"view": ["uint8", [3, 8, 8]], "ammo": ["int32", []]}, [3, 2],
		{
			"client": "arena/2.1", "role": "play", "token": "a-token-of-16-chars", "explain": true,
			"deadline_ms": 50, "priority": "bulk"
		}
	)
	var see = {"see": ["float32", [8]]}
	hello("hello-box", 2, "car", see, {"low": [-1.0, 0.0], "high": [1.0, 1.0]}, {"client": "car"})
	var heads = {"heads": [{"low": -1.0, "high": 1.0, "name": "wheel"}, {"n": 3}]}
	hello("hello-mixed", 2, "car.shift", see, heads, {"client": "car"})
	var rows = Rows.new(BOARD, 3, 2)
	show("step", rows.step([
		{"stream": 0, "kind": 1, "reward": 0.5, "obs": [1, 0], "mask": [1, 1, 0]},
		{"stream": 1, "kind": 2, "reward": -1, "obs": {"board": [0.0, 1.0]}},
		{"stream": 1, "kind": 0, "obs": PoolRealArray([0.25, 0.75]), "mask": [false, true, true]},
	], 7))
	show("step-taken", rows.step([
		{"kind": 1, "obs": [1, 0], "taken": 2, "by": 1, "elapsed": 2.0, "success": false},
		{"stream": 1, "kind": 2, "reward": 1, "obs": [0, 1], "taken": 1, "success": true},
	], 8))
	var codec = MsgPack.new()
	var acts = lines()
	var three = [{"stream": 0, "kind": 1}, {"stream": 1, "kind": 2}, {"stream": 1, "kind": 0}]
	act("act", rows.answer(codec.unpack(unhex(acts[0])), three))
	tell("played\t%s %s" % [rows.played(0), rows.played(1)])
	act("act-late", rows.answer(codec.unpack(unhex(acts[1])), three.slice(0, 1)))
	act("act-explain", Rows.new(BOARD, [3, 2], 1).answer(codec.unpack(unhex(acts[2])), [{}]))


func hello(name, lowest, agent, observation, action, options):
	var session = Session.new()
	session.open("127.0.0.1", agent, observation, action, options)
	var map = session._hello
	if map["protocol"] != [lowest, 2]:
		tell("wrong range: " + name)
	map["protocol"] = [1, 2] if name == "hello-newer" else [lowest, lowest]
	map["run"] = unhex("000102030405060708090a0b0c0d0e0f")
	if name == "hello-resume":
		map["resume"] = unhex("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf")
	show(name, map)


func show(name, map):
	tell(name + "\t" + hexed(MsgPack.new().pack(map)))


func act(name, answer):
	tell("%s\t%s %s %s %s %s %s" % [
		name, answer.seq, answer.version, answer.actions, answer.q, answer.explored, answer.late
	])


# "catch COLUMN ACTION …" and "cartpole STATE ACTION …" come in, one a line.
func dynamics():
	var fallen = Catch.new()
	fallen.agent = Recorder.new()
	var words = lines()[0].split(" ")
	fallen.begin()
	fallen.ball.x = int(words[1])
	for i in range(2, words.size()):
		fallen.play(int(words[i]))
	tell(PoolStringArray(fallen.agent.seen.slice(1, words.size() - 2)).join(" "))
	words = lines()[1].split(" ")
	var from = StreamPeerBuffer.new()
	from.data_array = unhex(words[1])
	var state = [from.get_double(), from.get_double(), from.get_double(), from.get_double()]
	var seen = PoolStringArray()
	for i in range(2, words.size()):
		var fell = Pole.push(state, int(words[i]))
		var to = StreamPeerBuffer.new()
		for part in state:
			to.put_double(part)
		seen.append("%d:%s" % [2 if fell else 1, hexed(to.data_array)])
	tell(seen.join(" "))


class Recorder:
	extends Reference
	var seen = []

	func observe(board, reward = 0.0, _facts = {}):
		put(reward, board)

	func finish(board, reward, _terminated = true, _facts = {}):
		put(reward, board)

	func put(reward, board):
		var cells = ""
		for cell in board:
			cells += str(int(cell))
		seen.append("%d:%s" % [reward, cells])


func conform(action = [3, 2]):
	var session = Session.new()
	var see = {"board": ["float32", [2]], "ammo": ["uint8", []], "half": ["float16", [2]]}
	var options = {"streams": 3, "explain": true, "deadline_ms": 500}
	session.open(address, "conform", see, action, options)
	var steps = [0, 0, 0]
	session.wait_open(20)
	for frame in range(400):
		var rows = []
		for id in range(3):
			rows.append(_row(frame, id, steps[id], session.protocol))
		session.step(rows)
		var fault = session.fault
		if fault == null:
			for id in range(3):
				steps[id] = 0 if steps[id] == 9 else steps[id] + 1
			if frame % 100 == 0:
				session.log_values({"game/frame": frame})
			continue
		tell("%s: %s" % [fault.code, fault.message])
		if fault.code == "CLOSED" or fault.fatal:
			return 0 if fault.code == "CLOSED" else 1
		if fault.code != "SESSION_LOST":
			session.abandon()
		steps = [0, 0, 0]
	session.close()


func mixed():
	return conform({"heads": [{"n": 5}, {"low": -1.0, "high": 1.0}]})


func _row(frame, id, step, protocol):
	var ends = step == 9
	var row = {"stream": id, "kind": 0 if step == 0 else 1, "reward": step / 5.0}
	row["obs"] = {"board": [step / 10.0, id], "ammo": [step], "half": unhex("003c00c0")}
	if ends:
		row["kind"] = 2 + frame % 2
	else:
		row["mask"] = [true, true, false, true, true]
	if protocol == 1:
		return row
	if frame % 5 == 4:
		row["taken"] = [id % 2, 1]
		row["by"] = id
	if frame % 3 == 2:
		row["elapsed"] = 1.5
		row["success"] = ends
	return row


# Steps one after the other, over whatever happens to the connection.
func walk():
	var session = Session.new()
	session.open(address, "walk-godot", BOARD, 3)
	var done = 0
	var lost = 0
	var first = true
	while done < number:
		var answer = session.step([{"kind": 0 if first else 1, "obs": [done, 1]}])
		if answer != null and answer.actions[0] >= 0:
			first = false
			done += 1
		elif session.fault.code == "SESSION_LOST":
			first = true
			lost += 1
		else:
			tell(session.fault.message)
			return
	session.close()
	tell("%d %d %d" % [done, session.reconnects, lost])


# A frame loop that never waits: a row a frame, as long as the window has room.
func loop():
	var session = Session.new()
	session.open(address, "loop-godot", BOARD, 3)
	var sent = 0
	var answered = 0
	var longest = 0
	while answered < number and session.is_alive():
		var answer = session.poll()
		while answer != null:
			answered += 1
			if answer.seq != answered:
				tell("out of order")
			answer = session.poll()
		if sent < number and session.can_send():
			session.send([{"kind": 0 if sent == 0 else 1, "obs": [sent, 0]}])
			sent += 1
			longest = max(longest, session.pending())
		else:
			OS.delay_usec(300)
	session.close()
	tell("%d %d %d %d" % [sent, answered, longest, session.reconnects])


func refusals():
	var session = Session.new()
	session.open(address, "plain", BOARD, 3)
	session.step([{"kind": 0, "obs": [0, 0], "mask": [0, 0, 0]}])
	said(session)
	session.step([{"kind": 0, "obs": [0, 0]}])
	said(session)
	session.step([{"kind": 1, "obs": [0, NAN]}])
	said(session)
	session.abandon()
	tell("again %d" % session.step([{"kind": 0, "obs": [0, 0]}]).seq)
	for rows in [[{"kind": 1, "obs": [0]}], [{"stream": 1, "kind": 1, "obs": [0, 0]}], []]:
		session.step(rows)
		said(session)
	session.log_values({"UPPER": 1})
	while session.warning == null or session.warning.code != "BAD_LOG":
		session.poll()
	tell("BAD_LOG")
	session.close()
	for action in [4, {"low": [1.0], "high": [1.0]}]:
		session = Session.new()
		session.open(address, "plain" if typeof(action) == TYPE_INT else "box", BOARD, action)
		session.wait_open(20)
		said(session)
	session = Session.new()
	session.retry_for_s = 0.0
	session.open("127.0.0.1:1", "plain", BOARD, 3)
	session.wait_open(20)
	said(session)


# Asks for levels, as the node does: two that are played, three that are wrong; the default is not said.
func levels():
	var node = Client.new()
	node.agent = "plain"
	node.observation = BOARD
	node.action = [3]
	tell(node.options().has("level"))
	for asked in [[0, "play"], [40.0, "play"], [100.5, "play"], [NAN, "play"], [0, "train"]]:
		node.level = asked[0]
		node.role = asked[1]
		var session = Session.new()
		session.open(address, node.agent, node.observation, node.options().action, node.options())
		var answer = session.step([{"kind": 0, "obs": [0, 0]}])
		if answer != null:
			tell("%s %s" % [session._hello["level"], answer.actions[0] >= 0])
			session.close()
		else:
			tell("%s %s %s %s" % [session.fault.code, session.fault.field, session.fault.expected, session.fault.got])
	node.free()


func said(session):
	var fault = session.fault
	if fault == null:
		tell("nothing was wrong")
	else:
		tell("%s %s %s %s" % [fault.code, fault.field, fault.fatal, fault.message])


# Two agents in a frame loop; the second is a person for every other answer.
func _make_nodes():
	client = Client.new()
	client.address = address
	client.agent = "curriculum"
	client.observation = {"board": ["float32", [2]]}
	client.action = [3]
	client.streams = 2
	client.dt_ms = 20.0
	for _i in range(2):
		agents.append(Agent.new())
		client.add_child(agents[-1])
	get_root().add_child(client)
	client.connect("failed", self, "_failed")
	client.connect("settings_changed", self, "_changed")


func _failed(fault):
	faults.append(fault.code)


func _changed(values):
	tell("level %s" % values["level"])


func _play_nodes():
	for id in range(2):
		var agent = agents[id]
		if agent.action == null:
			agent.observe([0, id], 0.0, {"mask": [0, 1, 1]})
		elif frames % (7 + id) == 0:
			agent.finish([frames, id], 1.0, id == 0, {"success": true})
			finished += 1
		else:
			if id == 1 and frames % 2 == 0:
				agent.take_over(1)
			agent.observe([frames, id], 0.5, {"mask": [0, 1, 1], "elapsed": 2.0})
	if finished >= number:
		tell("%d %s" % [finished, faults])
		client.free()
		quit()
		mode = "done"


func lines():
	var file = File.new()
	file.open("res://input.txt", File.READ)
	var found = file.get_as_text().split("\n", false)
	file.close()
	return found


func text(value):
	match typeof(value):
		TYPE_NIL:
			return "null"
		TYPE_BOOL:
			return "true" if value else "false"
		TYPE_REAL:
			var to = StreamPeerBuffer.new()
			to.big_endian = true
			to.put_double(value)
			return '{"float":"%s"}' % hexed(to.data_array)
		TYPE_STRING:
			return to_json(value)
		TYPE_RAW_ARRAY:
			return '{"bin":"%s"}' % hexed(value)
		TYPE_ARRAY:
			var items = PoolStringArray()
			for item in value:
				items.append(text(item))
			return "[%s]" % items.join(",")
		TYPE_DICTIONARY:
			var pairs = PoolStringArray()
			for key in value:
				pairs.append("%s:%s" % [to_json(key), text(value[key])])
			return "{%s}" % pairs.join(",")
	return str(value)


func unhex(word):
	var bytes = PoolByteArray()
	for i in range(0, word.length() - 1, 2):
		bytes.append(("0x" + word.substr(i, 2)).hex_to_int())
	return bytes


func hexed(bytes):
	return bytes.hex_encode()
