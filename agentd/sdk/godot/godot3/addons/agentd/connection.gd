# The connection below session.gd: hello and welcome, messages in and out, pings, and a new try when
# it broke. The same file in both versions of the addon.

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
	settings = message["game"] if message.get("game") != null else {}
	_link.limit = Tcp.LONGEST
	_state = OPEN
	for sent in _sent:
		_link.send(sent.body)


func _refused(message):
	var error = Fault.new(message["code"], message["message"])
	error.fatal = message["fatal"]
	for key in ["field", "expected", "got", "seq", "retry_ms"]:
		if message.get(key) != null:
			error.set(key, message[key])
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
