# Carries messages over WebSocket, for games exported to a page: they have no TCP. As tcp.gd.

const CLOSED = 0
const DIALLING = 1
const OPEN = 2

var fault = ""  # why it is closed
var limit = 65536
var _client = WebSocketClient.new()
var _found = []


func dial(url):
	_client.connect("data_received", self, "_keep")
	_client.set_buffers(8192, 256, 8192, 256)
	if _client.connect_to_url(url) != OK:
		fault = "cannot connect"


func status():
	if fault == "":
		_client.poll()
		if _found.size() > 0:  # the end of the connection is behind these
			return OPEN
		match _client.get_connection_status():
			NetworkedMultiplayerPeer.CONNECTION_CONNECTING:
				return DIALLING
			NetworkedMultiplayerPeer.CONNECTION_CONNECTED:
				return OPEN
		fault = "connection refused or lost"
	return CLOSED


func send(body):
	_client.get_peer(1).set_write_mode(WebSocketPeer.WRITE_MODE_BINARY)
	if _client.get_peer(1).put_packet(body) != OK:
		fault = "cannot write"
	_client.poll()


func flush():
	_client.poll()
	return true


func receive():
	if fault == "":
		_client.poll()
	var found = _found
	_found = []
	return found


func close():
	_client.disconnect_from_host()
	fault = "closed"


# At once: the engine drops what is unread when the connection ends.
func _keep():
	_found.append(_client.get_peer(1).get_packet())
