# Carries messages over TCP, each behind its length. The same file in both versions of the addon.
# Nothing here waits.

const Compat = preload("compat.gd")
const CLOSED = 0
const DIALLING = 1
const OPEN = 2
const LONGEST = 0x40000000

var fault = ""  # why it is closed
var limit = 65536  # bytes that a message may have
var _peer = StreamPeerTCP.new()
var _out = []  # byte arrays
var _in = Compat.no_bytes()


func dial(host, port):
	if _peer.connect_to_host(host, port) != OK:
		_fail("cannot connect")


func status():
	if fault != "":
		return CLOSED
	if _peer.has_method("poll"):  # Godot 4
		_peer.call("poll")
	match _peer.get_status():
		StreamPeerTCP.STATUS_CONNECTING:
			return DIALLING
		StreamPeerTCP.STATUS_CONNECTED:
			_peer.set_no_delay(true)
			return OPEN
	_fail("connection refused or lost")
	return CLOSED


func send(body):
	var head = StreamPeerBuffer.new()
	head.put_u32(body.size())
	_out.append(Compat.append(head.data_array, body))
	flush()


# True when everything has left.
func flush():
	while _out.size() > 0 and fault == "":
		var done = _peer.put_partial_data(_out[0])
		if done[0] != OK:
			_fail("cannot write")
		elif done[1] < _out[0].size():
			_out[0] = Compat.part(_out[0], done[1], _out[0].size())
			return false
		else:
			_out.pop_front()
	return true


# The messages that have arrived, as byte arrays.
func receive():
	flush()
	if fault == "":
		var got = _peer.get_partial_data(int(max(1, _peer.get_available_bytes())))
		if got[0] != OK:
			_fail("the server closed the connection")
		elif got[1].size() > 0:
			_in.append_array(got[1])
	return _messages() if _in.size() >= 4 else []


func close():
	_peer.disconnect_from_host()
	_fail("closed")


func _messages():
	var found = []
	var from = StreamPeerBuffer.new()
	from.data_array = _in
	while from.get_size() - from.get_position() >= 4:
		var length = from.get_u32()
		if length > limit:
			_fail("what answers there does not speak the protocol")
			break
		if length > from.get_size() - from.get_position():
			from.seek(from.get_position() - 4)
			break
		found.append(from.get_data(length)[1])
	_in = Compat.part(_in, from.get_position(), _in.size())
	return found


func _fail(why):
	if fault == "":
		fault = why
