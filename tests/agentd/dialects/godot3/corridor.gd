# A game for Godot 3, headless, with two players in corridors of their own. It speaks the wire of
# Godot RL Agents: a step of physics a message, and it stands still until the trainer has answered.
#
#   godot3-server --path . -s corridor.gd --port=11008 --dialect=0.7 --episodes=10
extends SceneTree

const CELLS = 5
const PLAYERS = 2
const LIMIT = 40

var stream = StreamPeerTCP.new()
var options = {"port": "11008", "dialect": "0.7", "episodes": "10"}
var cells = []
var steps = []
var rewards = []
var dones = []
var infos = []
var episodes = []
var wins = 0
var total = 0.0
var acted = false
var just_reset = false


func _init():
	for argument in OS.get_cmdline_args():
		var pair = argument.lstrip("-").split("=")
		if pair.size() == 2:
			options[pair[0]] = pair[1]
	for _player in PLAYERS:
		cells.append(0)
		steps.append(0)
		rewards.append(0.0)
		dones.append(false)
		infos.append({})
		episodes.append(0)
	Engine.iterations_per_second = 1200
	Engine.time_scale = 20.0
	stream.connect_to_host("127.0.0.1", int(options["port"]))
	while stream.get_status() == StreamPeerTCP.STATUS_CONNECTING:
		OS.delay_usec(100)
	stream.set_no_delay(true)
	var greeting = hear()
	if greeting == null or greeting["type"] != "handshake":
		fail("no handshake")
		return
	var asked = hear()
	if asked == null or asked["type"] != "env_info":
		fail("not asked who plays")
		return
	say(describe())


func describe():
	var seen = {"cell": {"size": [CELLS], "space": "box"}}
	var action = {"move": {"size": 2, "action_type": "discrete"}}
	if options["dialect"] == "0.3":
		return {
			"type": "env_info",
			"observation_space": seen,
			"action_space": action,
			"n_agents": PLAYERS,
		}
	return {
		"type": "env_info",
		"observation_space": [seen, seen],
		"action_space": [action, action],
		"n_agents": PLAYERS,
		"agent_policy_names": ["shared_policy", "shared_policy"],
	}


func _iteration(_delta):
	if acted:
		acted = false
		var reply = {"type": "step", "obs": observe(), "reward": rewards, "done": dones}
		if options["dialect"] != "0.3":
			reply["info"] = infos
		say(reply)
		if episodes.min() >= int(options["episodes"]):
			print("episodes %d wins %d return %.2f" % [episodes[0] + episodes[1], wins, total])
			quit(0)
			return true
	if just_reset:
		just_reset = false
		var reply = {"type": "reset", "obs": observe()}
		if options["dialect"] != "0.3":
			reply["info"] = [{}, {}]
		say(reply)
	var message = hear()
	if message == null:
		return fail("the trainer has gone")
	match message["type"]:
		"reset":
			for player in PLAYERS:
				begin(player)
			just_reset = true
		"action":
			for player in PLAYERS:
				move(player, int(message["action"][player]["move"]))
			acted = true
		"close":
			print("closed by the trainer")
			quit(3)
			return true
		_:
			return fail("did not understand " + str(message))
	return false


func begin(player):
	cells[player] = 0
	steps[player] = 0


func move(player, action):
	cells[player] = int(max(0, cells[player] + (1 if action == 1 else -1)))
	steps[player] += 1
	var won = cells[player] == CELLS - 1
	dones[player] = won or steps[player] == LIMIT
	rewards[player] = 1.0 if won else -0.02
	total += rewards[player]
	infos[player] = {}
	if dones[player]:
		infos[player] = {"is_success": won, "TimeLimit.truncated": not won}
		episodes[player] += 1
		wins += int(won)
		begin(player)


func observe():
	var seen = []
	for player in PLAYERS:
		var cell = []
		for at in CELLS:
			cell.append(1.0 if cells[player] == at else 0.0)
		seen.append({"cell": cell})
	return seen


func say(message):
	stream.put_string(to_json(message))


func hear():
	while stream.get_available_bytes() == 0:
		if stream.get_status() != StreamPeerTCP.STATUS_CONNECTED:
			return null
		OS.delay_usec(10)
	return parse_json(stream.get_string())


func fail(text):
	printerr(text)
	quit(1)
	return true
