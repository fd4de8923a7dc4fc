# What Godot 3 names or does differently from Godot 4; the files beside it need no more than this.


static func ticks():
	return OS.get_ticks_msec()


static func no_bytes():
	return PoolByteArray()


static func is_bytes(value):
	return typeof(value) == TYPE_RAW_ARRAY


static func is_float(value):
	return typeof(value) == TYPE_REAL


static func is_list(value):
	return typeof(value) >= TYPE_ARRAY


static func utf8(text):
	return text.to_utf8()


static func part(bytes, from, end):
	return bytes.subarray(from, end - 1) if end > from else PoolByteArray()


# The numbers as float32, little-endian.
static func float_bytes(numbers):
	var to = StreamPeerBuffer.new()
	for number in numbers:
		to.put_float(number)
	return to.data_array


static func append(bytes, more):
	bytes.append_array(more)
	return bytes
