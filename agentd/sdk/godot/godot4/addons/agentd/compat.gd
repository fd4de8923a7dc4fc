# What Godot 4 names or does differently from Godot 3; the files beside it need no more than this.


static func ticks():
	return Time.get_ticks_msec()


static func no_bytes():
	return PackedByteArray()


static func is_bytes(value):
	return typeof(value) == TYPE_PACKED_BYTE_ARRAY


static func is_float(value):
	return typeof(value) == TYPE_FLOAT


static func is_list(value):
	return typeof(value) >= TYPE_ARRAY


static func utf8(text):
	return text.to_utf8_buffer()


static func part(bytes, from, end):
	return bytes.slice(from, end)


# The numbers as float32, little-endian.
static func float_bytes(numbers):
	return PackedFloat32Array(Array(numbers)).to_byte_array()


static func append(bytes, more):
	bytes.append_array(more)
	return bytes
