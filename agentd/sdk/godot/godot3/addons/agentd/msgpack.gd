# Writes and reads the msgpack of agentd's protocol. The same file in both versions of the addon.
# Numbers are int or float, maps are dictionaries with strings as keys, bins are byte arrays.

const Compat = preload("compat.gd")
const DEEPEST = 32

var failed = false  # what was read is not msgpack, or has bytes left
var _at = StreamPeerBuffer.new()


func _init():
	_at.big_endian = true


# The bytes of a value, every part of it in its shortest form.
func pack(value):
	_at.data_array = Compat.no_bytes()
	_at.seek(0)
	_write(value)
	return _at.data_array


# The value that fills all the bytes; look at failed.
func unpack(bytes):
	failed = false
	_at.data_array = bytes
	_at.seek(0)
	var value = _read(0)
	failed = failed or _at.get_position() != _at.get_size()
	return value


func _write(value):
	var type = typeof(value)
	if type == TYPE_NIL:
		_at.put_u8(0xc0)
	elif type == TYPE_BOOL:
		_at.put_u8(0xc3 if value else 0xc2)
	elif type == TYPE_INT:
		_write_int(value)
	elif type == TYPE_STRING:
		var text = Compat.utf8(value)
		_write_head(text.size(), 0xa0, 32, 0xd9)
		_at.put_data(text)
	elif type == TYPE_ARRAY:
		_write_head(value.size(), 0x90, 16, 0xdb)
		for item in value:
			_write(item)
	elif type == TYPE_DICTIONARY:
		_write_head(value.size(), 0x80, 16, 0xdd)
		for key in value:
			_write(key)
			_write(value[key])
	elif Compat.is_bytes(value):
		_write_head(value.size(), 0, 0, 0xc4)
		_at.put_data(value)
	else:
		_at.put_u8(0xcb)
		_at.put_double(value)


func _write_int(number):
	if number >= 0:
		if number < 0x80:
			_at.put_u8(number)
		elif number < 0x100:
			_at.put_u8(0xcc)
			_at.put_u8(number)
		elif number < 0x10000:
			_at.put_u8(0xcd)
			_at.put_u16(number)
		elif number < 0x100000000:
			_at.put_u8(0xce)
			_at.put_u32(number)
		else:
			_at.put_u8(0xcf)
			_at.put_u64(number)
	elif number >= -32:
		_at.put_8(number)
	else:
		_at.put_u8(0xd3)
		_at.put_64(number)


# Arrays and maps have no form with a length of one byte: `one` + 1 and + 2 are their longer forms.
func _write_head(count, tiny, below, one):
	if count < below:
		_at.put_u8(tiny + count)
	elif count < 0x100 and one != 0xdb and one != 0xdd:
		_at.put_u8(one)
		_at.put_u8(count)
	elif count < 0x10000:
		_at.put_u8(one + 1)
		_at.put_u16(count)
	else:
		_at.put_u8(one + 2)
		_at.put_u32(count)


# gdlint: disable=max-returns
func _read(depth):
	var head = _number(1)
	if failed or depth > DEEPEST:
		failed = true
		return null
	if head < 0x80:
		return head
	if head < 0x90:
		return _map(head & 0x0f, depth)
	if head < 0xa0:
		return _list(head & 0x0f, depth)
	if head < 0xc0:
		return _text(head & 0x1f)
	if head >= 0xe0:
		return head - 0x100
	match head:
		0xc0:
			return null
		0xc2, 0xc3:
			return head == 0xc3
		0xc4, 0xc5, 0xc6:
			return _bytes(_number(1 << (head - 0xc4)))
		0xca:
			return _at.get_float() if _has(4) else null
		0xcb:
			return _at.get_double() if _has(8) else null
		0xcc, 0xcd, 0xce, 0xcf:
			return _number(1 << (head - 0xcc))
		0xd0:
			return _at.get_8() if _has(1) else null
		0xd1:
			return _at.get_16() if _has(2) else null
		0xd2:
			return _at.get_32() if _has(4) else null
		0xd3:
			return _at.get_64() if _has(8) else null
		0xd9, 0xda, 0xdb:
			return _text(_number(1 << (head - 0xd9)))
		0xdc, 0xdd:
			return _list(_number(2 << (head - 0xdc)), depth)
		0xde, 0xdf:
			return _map(_number(2 << (head - 0xde)), depth)
	failed = true
	return null


func _list(count, depth):
	var list = []
	while count > 0 and not failed:
		list.append(_read(depth + 1))
		count -= 1
	return list


func _map(count, depth):
	var map = {}
	while count > 0 and not failed:
		var key = _read(depth + 1)
		map[key] = _read(depth + 1)
		count -= 1
	return map


func _text(count):
	return _at.get_utf8_string(count) if count > 0 and _has(count) else ""


func _bytes(count):
	return _at.get_data(count)[1] if count > 0 and _has(count) else Compat.no_bytes()


func _number(size):
	if not _has(size):
		return 0
	match size:
		1:
			return _at.get_u8()
		2:
			return _at.get_u16()
		4:
			return _at.get_u32()
	return _at.get_u64()


func _has(count):
	failed = failed or count > _at.get_size() - _at.get_position()
	return not failed
