# Carries messages over WebSocket, for games exported to a page: they have no TCP. As tcp.gd.

const CLOSED = 0
const DIALLING = 1
const OPEN = 2

var fault = ""  # why it is closed
var limit = 65536
var _peer = WebSocketPeer.new()
var _found = []


func dial(url):
	_peer.inbound_buffer_size = 1 << 23
	_peer.outbound_buffer_size = 1 << 23
	_peer.max_queued_packets = 256
	if _peer.connect_to_url(url) != OK:
		fault = "cannot connect"


func status():
	_keep()
	if _found.size() > 0:  # the end of the connection is behind these
		return OPEN
	match _peer.get_ready_state():
		WebSocketPeer.STATE_CONNECTING:
			return DIALLING
		WebSocketPeer.STATE_OPEN:
			return OPEN
	if fault == "":
		fault = "connection refused or lost"
	return CLOSED


func send(body):
	if _peer.send(body) != OK:
		fault = "cannot write"


func flush():
	_keep()
	return true


func receive():
	_keep()
	var found = _found
	_found = []
	return found


func close():
	_peer.close()
	fault = "closed"


func _keep():
	_peer.poll()
	while _peer.get_available_packet_count() > 0:
		_found.append(_peer.get_packet())
