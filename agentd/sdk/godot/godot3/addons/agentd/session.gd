# One game's connection to one agent of agentd. The same file in both versions of the addon.
#
#   var session = preload("session.gd").new()
#   session.open("127.0.0.1:7331", "catch", {"board": ["float32", [10, 5]]}, 3)
#   var answer = session.step([{"stream": 0, "kind": session.FIRST, "obs": board}])
#
# Every frame of the game: `poll`, then `send` where `can_send`; `step` does both and waits. All of
# them mend a broken connection. What went wrong in a call is in `fault`, null when nothing did.

const VERSION = "0.1.0"
const FIRST = 0
const MID = 1
const TERMINATED = 2  # the game itself ended
const TRUNCATED = 3  # a limit outside the game cut the episode
const BY_AGENT = 0
const BY_PERSON = 1
const BY_SCRIPT = 2

const Compat = preload("compat.gd")
const MsgPack = preload("msgpack.gd")
const Rows = preload("rows.gd")
const Tcp = preload("tcp.gd")
const WebSocket = preload("websocket.gd")

const AWAY = 0
const DIALLING = 1
const SHAKING = 2
const OPEN = 3
const ENDED = 4
const CONNECT_MS = 10000
const FIRST_DELAY_MS = 50.0
const LONGEST_DELAY_MS = 5000.0
const PASSING = [
	"HELLO_TIMEOUT", "IDLE_TIMEOUT", "SLOW_READER", "LIMIT", "SHUTTING_DOWN", "INTERNAL",
	"shutdown", "idle", "slow_reader", "limit", "error"
]

var fault = null  # what went wrong in the last call, a Fault or null
var warning = null  # the newest Fault that ended nothing, such as a refused log
var settings = {}  # numbers that the agent's operator gives to the game
var window = 0  # steps that may be unanswered
var max_rows = 0  # rows that one frame may have
var protocol = 0  # the version that is spoken
var version = 0  # of the newest weights heard of
var reconnects = 0
var retry_for_s = 60.0

var _state = ENDED
var _link = null
var _url = {}
var _hello = {}
var _rows = null
var _msgpack = MsgPack.new()
var _sent = []  # steps without an answer: seq, body, streams, kinds
var _answers = []
var _faults = []
var _last_seq = 0
var _begun = false
var _refusal = null
var _pinged = false
var _heartbeat_ms = 15000.0
var _since = 0
var _heard = 0
var _not_before = 0
var _give_up_at = -1
var _delay_ms = FIRST_DELAY_MS


# What the server refused or what is wrong with the connection. Its code is one of R10's, or
# UNREACHABLE, BAD_SERVER, CLOSED, SESSION_LOST (begin every stream anew) and BAD_ARGUMENT.
class Fault:
	var code
	var message
	var fatal = true  # false: one frame was refused whole, nothing of it was learned, go on
	var field = null
	var expected = null
	var got = null
	var seq = 0
	var retry_ms = 0

	func _init(named, said):
		code = named
		message = said


# Begin to connect, without waiting.
#   address      "host:port", "agentd://[token@]host:port", "ws://host:port" or "wss://host:port"
#   observation  {name: [dtype, [lengths]]}, dtype one of float32 float16 int32 uint8 int8
#   action       3, [3, 2], {"low": [0.0], "high": [1.0]} or {"heads": [{"n": 3}, ..]}
#   options      role, streams, token, client, explain, deadline_ms, priority, dt_ms
func open(address, agent, observation, action, options = {}):
	_url = _parse(address)
	_rows = Rows.new(observation, action, options.get("streams", 1))
	var newer = options.has("dt_ms") or _rows.floats  # not valid in protocol 1
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
	if options.has("dt_ms"):
		_hello["dt_ms"] = float(options["dt_ms"])
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


# One turn: connect, write, read.
func _advance():
	match _state:
		AWAY:
			_dial()
		DIALLING:
			_dialled()
		SHAKING, OPEN:
			for body in _link.receive():
				_heard = Compat.ticks()
				_pinged = false
				if _state == SHAKING or _state == OPEN:
					_take(_msgpack.unpack(body))
			if (_state == SHAKING or _state == OPEN) and _link.status() != Tcp.OPEN:
				_break(_link.fault)
			_watch()


func _dial():
	if Compat.ticks() < _not_before:
		return
	_since = Compat.ticks()
	_refusal = null
	_state = DIALLING
	if _url.scheme == "agentd":
		_link = Tcp.new()
		_link.dial(_url.host, _url.port)
	else:
		_link = WebSocket.new()
		_link.dial("%s://%s:%d/" % [_url.scheme, _url.host, _url.port])


func _dialled():
	var status = _link.status()
	if status == Tcp.OPEN:
		_state = SHAKING
		_link.send(_msgpack.pack(_hello))
	elif status == Tcp.CLOSED:
		_break(_link.fault)
	elif Compat.ticks() - _since > CONNECT_MS:
		_break("nobody answered in time")


func _take(message):
	if _msgpack.failed or typeof(message) != TYPE_DICTIONARY:
		_end(Fault.new("BAD_SERVER", "the server sent no msgpack map"))
		return
	match message.get("type"):
		"act":
			_acted(message)
		"welcome":
			_welcomed(message)
		"ping":
			_tell_server({"type": "pong", "t": message["t"]})
		"pong":
			pass
		"settings":
			settings = message["values"]
		"error":
			_refused(message)
		"goodbye":
			_over(message["reason"], Fault.new("CLOSED", "the server said goodbye: " + message["reason"]))
		_:
			_end(Fault.new("BAD_SERVER", "an answer to nothing we asked"))


func _acted(message):
	var sent = _answered(message["seq"])
	if sent == null:
		return
	var answer = _rows.answer(message, sent.rows)
	if answer == null:
		_end(Fault.new("BAD_SERVER", "an act of odd size"))
		return
	version = answer.version
	_answers.append(answer)


func _answered(seq):
	if _sent.size() == 0 or _sent[0].seq != seq:
		_end(Fault.new("BAD_SERVER", "an answer out of order"))
		return null
	_went_well()
	return _sent.pop_front()


func _welcomed(message):
	if message["resumed"] and message["last_seq"] < _last_seq - _sent.size():
		_forget()  # the server lost its last seconds: a new session
		_hello.erase("resume")
		_break("the server has forgotten what it had answered")
		return
	reconnects += 1 if protocol > 0 else 0
	if not message["resumed"]:
		_forget()
	_hello["resume"] = message["session"]
	window = message["window"]
	max_rows = message["max_rows"]
	protocol = message["protocol"]
	version = message["version"]
	_heartbeat_ms = 1000.0 * message["heartbeat_s"]
	settings = message.get("game", {})
	_link.limit = Tcp.LONGEST
	_state = OPEN
	for sent in _sent:
		_link.send(sent.body)


func _refused(message):
	var error = Fault.new(message["code"], message["message"])
	error.fatal = message["fatal"]
	error.field = message.get("field")
	error.expected = message.get("expected")
	error.got = message.get("got")
	error.seq = message.get("seq", 0)
	error.retry_ms = message.get("retry_ms", 0)
	if error.fatal:
		_over(error.code, error)
		return
	warning = error
	if error.seq > 0 and _answered(error.seq) != null:
		_faults.append(error)


# The server ends the connection: for good, or for now when coming back may help.
func _over(word, why):
	if not PASSING.has(word):
		_end(why)
		return
	if _refusal == null:
		_refusal = why
	_break(why.message)
	_not_before = max(_not_before, Compat.ticks() + why.retry_ms)


# Ping a silent server, give up on one that stays silent.
func _watch():
	if _state == SHAKING and Compat.ticks() - _since > CONNECT_MS:
		_break("no welcome in time")
	elif _state == OPEN and Compat.ticks() - _heard > _heartbeat_ms:
		if _pinged:
			_break("the server was silent for too long")
			return
		_pinged = true
		_heard = Compat.ticks()
		_tell_server({"type": "ping", "t": Compat.ticks()})


func _tell_server(message):
	_link.send(_msgpack.pack(message))


# The session is over: nothing can be sent before the next welcome.
func _forget():
	window = 0
	if _begun:
		_faults.append(Fault.new("SESSION_LOST", "the server began a new session"))
		_faults[-1].fatal = false
	_begun = false
	_last_seq = 0
	_sent.clear()
	_answers.clear()


func _went_well():
	_give_up_at = -1
	_delay_ms = FIRST_DELAY_MS


# Let go of the connection and choose when to try again: exponential, with full jitter, so that no
# crowd forms; or give up.
func _break(why):
	if _state == OPEN and Compat.ticks() - _since > CONNECT_MS:
		_went_well()
	_drop()
	if _give_up_at < 0:
		_give_up_at = Compat.ticks() + 1000.0 * retry_for_s
	if Compat.ticks() >= _give_up_at:
		_end(_refusal if _refusal != null else Fault.new("UNREACHABLE", why))
		return
	_not_before = min(_give_up_at, Compat.ticks() + _delay_ms * randf())
	_delay_ms = min(LONGEST_DELAY_MS, 2 * _delay_ms)


func _drop():
	if _link != null:
		_link.close()
	_link = null
	_state = AWAY
	_pinged = false


func _end(why):
	_drop()
	_state = ENDED
	_refusal = why


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
