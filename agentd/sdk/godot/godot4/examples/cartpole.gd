# CartPole without a window: godot --headless --path . -s examples/cartpole.gd -- [ADDRESS] [train|eval] [N]
extends SceneTree

const Session = preload("res://addons/agentd/session.gd")

var session = Session.new()
var state = [0.0, 0.0, 0.0, 0.0]  # x, its speed, angle, its speed
var elapsed = 0


func _init():
	var given = ["cartpole.gd"] + Array(OS.get_cmdline_user_args())
	session.open(
		given[1] if given.size() > 1 else "127.0.0.1:7331", "cartpole",
		{"state": ["float32", [4]]}, 2, {"role": given[2] if given.size() > 2 else "train"}
	)
	var mean = 0.0
	for episode in range(1, (int(given[3]) if given.size() > 3 else 500) + 1):
		var total = play()
		if session.fault != null:
			print(session.fault.code, ": ", session.fault.message)
			break
		mean += (total - mean) / min(episode, 100)
		if episode % 10 == 0:
			print("%d episodes: return %.1f" % [episode, mean])
	session.close()
	quit()


# One episode; its return. The row that ends it goes out alone: simple, and one round trip more.
func play():
	for i in range(4):
		state[i] = randf() / 10 - 0.05
	elapsed = 0
	var kind = session.FIRST
	while kind <= session.MID and session.fault == null:
		session.step([{"kind": kind, "reward": 1.0, "obs": state}])
		kind = push(session.action_of(0))
	session.step([{"kind": kind, "reward": 1.0, "obs": state}])
	return elapsed


# Push left (0) or right (1) for 20 ms, by Euler's rule; where that leaves us.
func push(action):
	var c = cos(state[2])
	var force = (10 if action == 1 else -10) + 0.05 * (state[3] * state[3]) * sin(state[2])
	var turn = (9.8 * sin(state[2]) - c * (force / 1.1)) / (0.5 * (4.0 / 3.0 - 0.1 * (c * c) / 1.1))
	var pull = force / 1.1 - 0.05 * turn * c / 1.1
	var change = [state[1], pull, state[3], turn]
	for i in range(4):
		state[i] += 0.02 * change[i]
	elapsed += 1
	if abs(state[0]) > 2.4 or abs(state[2]) > 24 * PI / 360:
		return session.TERMINATED
	return session.TRUNCATED if elapsed >= 500 else session.MID
