# One game's connection to one agent of agentd. The same file in both versions of the addon.
#
#   var session = preload("session.gd").new()
#   session.open("127.0.0.1:7331", "catch", {"board": ["float32", [10, 5]]}, 3)
#   var answer = session.step([{"stream": 0, "kind": session.FIRST, "obs": board}])
#
# Every frame of the game: `poll`, then `send` where `can_send`; `step` does both and waits. All of
# them mend a broken connection. What went wrong in a call is in `fault`, null when nothing did.
extends "connection.gd"

const VERSION = "0.1.0"
const FIRST = 0
const MID = 1
const TERMINATED = 2  # the game itself ended
const TRUNCATED = 3  # a limit outside the game cut the episode
const BY_AGENT = 0
const BY_PERSON = 1
const BY_SCRIPT = 2


# Begin to connect, without waiting.
#   address      "host:port", "agentd://[token@]host:port", "ws://host:port" or "wss://host:port"
#   observation  {name: [dtype, [lengths]]}, dtype one of float32 float16 int32 uint8 int8
#   action       3, [3, 2], {"low": [0.0], "high": [1.0]} or {"heads": [{"n": 3}, ..]}
#   options      role, streams, token, client, explain, deadline_ms, priority, dt_ms,
#                level (how strong to play as "eval" or "play", 0 to 100)
func open(address, agent, observation, action, options = {}):
	_url = _parse(address)
	_rows = Rows.new(observation, action, options.get("streams", 1))
	# These are not valid in protocol 1.
	var newer = options.has("dt_ms") or options.has("level") or _rows.floats
	_hello = {
		"type": "hello",
		"protocol": [2 if newer else 1, 2],
		"client": options.get("client", "agentd-godot/" + VERSION),
		"role": options.get("role", "train"),
		"run": Crypto.new().generate_random_bytes(16),
		"agent": agent,
		"observation": _rows.observation_map(),
		"action": _rows.action_map(),
		"streams": options.get("streams", 1),
	}
	if options.get("token", _url.token) != "":
		_hello["token"] = options.get("token", _url.token)
	for key in ["explain", "deadline_ms", "priority"]:
		if options.has(key):
			_hello[key] = options[key]
	for key in ["dt_ms", "level"]:
		if options.has(key):
			_hello[key] = float(options[key])
	randomize()
	_state = AWAY


# Wait until a session is open, for so many seconds. True when it is.
func wait_open(seconds):
	var until = Compat.ticks() + 1000.0 * seconds
	while _state != OPEN and _state != ENDED and Compat.ticks() < until:
		_advance()
		OS.delay_usec(500)
	_tell()
	return _state == OPEN


func is_open():
	return _state == OPEN


# True while the connection stands or will be made again.
func is_alive():
	return _state != ENDED


func pending():
	return _sent.size() + _answers.size()


# True when `send` may be called: fewer steps than the server's window are unanswered.
func can_send():
	return pending() < window and _state != ENDED


# Take what has arrived, without waiting. Returns the Answer to the oldest step, or null.
func poll():
	_advance()
	_tell()
	return _answers.pop_front() if fault == null and _answers.size() > 0 else null


# Send one frame without waiting. A row is a dictionary: stream, kind, reward, obs (numbers of the
# only tensor, or a dictionary of all), and where wanted mask, taken, by, elapsed, success.
# Returns false, and sets fault, when it was not sent.
func send(rows):
	fault = null
	if not can_send():
		return _wrong("the window is full: poll first")
	var step = _rows.step(rows, _last_seq + 1)
	if step.has("wrong"):
		return _wrong(step["wrong"])
	if rows.size() > max_rows or (protocol < 2 and _rows.is_newer(step)):
		return _wrong("too many rows, or keys that need protocol 2")
	_last_seq += 1
	_begun = true
	var body = _msgpack.pack(step)
	_sent.append({"seq": _last_seq, "body": body, "rows": rows})
	if _state == OPEN:
		_link.send(body)  # else it goes out after the next welcome
	return true


# Send one frame and wait for its Answer; null, and fault says why, when there is none.
func step(rows):
	if pending() > 0:
		_wrong("steps are pending: poll first")
		return null
	while window == 0 and _state != ENDED:
		_advance()
		OS.delay_usec(500)
	_tell()
	if fault != null or not send(rows):
		return null
	while true:
		var answer = poll()
		if answer != null or fault != null:
			return answer
		OS.delay_usec(20)


# The action that was answered last to a stream: an int, or an array of several heads.
func action_of(stream):
	return _rows.played(stream)


# Show up to 32 numbers of the game beside the agent's; without a connection they are lost.
func log_values(values):
	if _state == OPEN and protocol >= 2:
		var numbers = {}
		for name in values:
			numbers[name] = float(values[name])
		_tell_server({"type": "log", "values": numbers})


# End every open episode as truncated and begin a new session: for when a frame was refused and
# the game has no right one in its place.
func abandon():
	if _state == OPEN:
		_tell_server({"type": "goodbye", "reason": "client_done"})
		_drain(0.2)
	_begun = false
	_forget()
	_hello.erase("resume")
	if _state != ENDED:
		_drop()


# Say goodbye, wait for the server's (a second at most) and close. The session is over.
func close():
	if _state == OPEN:
		_tell_server({"type": "goodbye", "reason": "client_done"})
		_drain(1.0)
	_drop()
	_state = ENDED


func _wrong(what):
	fault = Fault.new("BAD_ARGUMENT", what)
	fault.fatal = false
	return false


func _drain(seconds):
	var until = Compat.ticks() + 1000.0 * seconds
	while _link.fault == "" and Compat.ticks() < until:
		_link.receive()
		_link.status()
		OS.delay_usec(1000)


func _tell():
	fault = _faults.pop_front() if _faults.size() > 0 else null
	if fault == null and _state == ENDED:
		fault = _refusal


# Scheme, host, port and token of an address; in a page there is WebSocket only.
static func _parse(address):
	var parsed = {"scheme": "ws" if OS.has_feature("web") else "agentd", "token": "", "port": 7331}
	var rest = address
	var at = rest.find("://")
	if at > 0:
		parsed.scheme = rest.substr(0, at)
		rest = rest.substr(at + 3, rest.length())
	at = rest.find("@")
	if at > 0:
		parsed.token = rest.substr(0, at)
		rest = rest.substr(at + 1, rest.length())
	rest = rest.trim_suffix("/")
	at = rest.rfind(":")
	if at >= 0:
		parsed.port = int(rest.substr(at + 1, rest.length()))
		rest = rest.substr(0, at)
	parsed.host = rest if rest != "" else "127.0.0.1"
	return parsed
