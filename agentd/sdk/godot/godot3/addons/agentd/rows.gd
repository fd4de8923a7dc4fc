# The rows of a frame as the columns of a step, and an act's bytes as actions. The same file in both
# versions of the addon.

const Compat = preload("compat.gd")
const SIZES = {"float32": 4, "float16": 2, "int32": 4, "uint8": 1, "int8": 1}
const TERMINATED = 2

var floats = false  # actions are float32 (box, mixed), not int32
var _observation = {}
var _lengths = {}  # numbers of one row, by tensor
var _action = {}
var _single = true
var _width = 1  # numbers of one action
var _choices = 0  # bytes of one mask
var _played = []  # newest action by stream


# The answer to a step: one action a row, in the order of its rows. -1 (NaN) on ended rows.
class Answer:
	var seq = 0
	var version = 0  # of the weights that chose
	var late = false  # answered at the deadline, by an older policy than asked for
	var actions = []  # ints, or arrays of the numbers of several heads
	var q = []  # with the option explain: arrays of the values of all choices
	var explored = []  # with the option explain: true where the action was drawn at random


func _init(observation, action, streams):
	_observation = observation
	for name in observation:
		var count = 1
		for length in observation[name][1]:
			count *= length
		_lengths[name] = count
	if typeof(action) == TYPE_INT:
		_action = {"kind": "discrete", "n": action}
		_choices = action
	elif typeof(action) == TYPE_ARRAY:
		_several("multi_discrete", action.size())
		_action["n"] = action
		for n in action:
			_choices += n
	elif action.has("low"):
		_several("box", action["low"].size())
		_action["low"] = action["low"]
		_action["high"] = action["high"]
	else:
		_several("mixed", action["heads"].size())
		_action["heads"] = action["heads"]
		for head in action["heads"]:
			_choices += head.get("n", 0)
	for _i in range(streams):
		_played.append(_zeros())


func observation_map():
	var map = {}
	for name in _observation:
		map[name] = {"dtype": _observation[name][0], "shape": _observation[name][1]}
	return map


func action_map():
	return _action


func played(stream):
	return _played[stream]


func is_newer(step):
	return step.has("taken") or step.has("elapsed") or step.has("success")


# The step message of the rows; its key "wrong" says what does not fit.
func step(rows, seq):
	var columns = {}
	for name in ["stream", "kind", "reward", "mask", "taken", "by", "elapsed", "success"]:
		columns[name] = StreamPeerBuffer.new()
	var tensors = {}
	for name in _observation:
		tensors[name] = StreamPeerBuffer.new()
	var used = {}
	for row in rows:
		for key in row:
			used[key] = true
		var wrong = _add(row, columns, tensors)
		if wrong != "":
			return {"wrong": wrong}
	if rows.size() == 0 or (used.has("by") and not used.has("taken")):
		return {"wrong": "want rows, and `by` only beside `taken`"}
	var message = {"type": "step", "seq": seq}
	for name in ["stream", "kind", "reward"]:
		message[name] = columns[name].data_array
	message["obs"] = {}
	for name in tensors:
		message["obs"][name] = tensors[name].data_array
	for name in ["mask", "taken", "by", "elapsed", "success"]:
		if used.has(name):
			message[name] = columns[name].data_array
	return message


# The Answer of an act to these rows; null when its bytes are not whole rows.
func answer(act, rows):
	var count = rows.size()
	if act["action"].size() != 4 * count * _width:
		return null
	var made = Answer.new()
	made.seq = act["seq"]
	made.version = act["version"]
	made.late = act.get("late", false) == true
	var from = _reader(act["action"])
	for row in rows:
		var action = []
		for _head in range(_width):
			action.append(from.get_float() if floats else from.get_32())
		made.actions.append(action[0] if _single else action)
		if row.get("kind", 0) < TERMINATED:
			_played[row.get("stream", 0)] = made.actions[-1]
	if act.get("q") != null:
		from = _reader(act["q"])
		for _row in range(count):
			var values = []
			for _choice in range(_choices):
				values.append(from.get_float())
			made.q.append(values)
	if act.get("explored") != null:
		for flag in act["explored"]:
			made.explored.append(flag != 0)
	return made


func _add(row, columns, tensors):
	var stream = row.get("stream", 0)
	if stream < 0 or stream >= _played.size():
		return "stream: want below %d, got %d" % [_played.size(), stream]
	columns.stream.put_u32(stream)
	columns.kind.put_u8(row.get("kind", 0))
	columns.reward.put_float(row.get("reward", 0.0))
	columns.by.put_u8(row.get("by", 0))
	columns.elapsed.put_float(row.get("elapsed", 1.0))
	columns.success.put_u8(1 if row.get("success", false) else 0)
	var mask = row.get("mask", [])
	for i in range(_choices):
		columns.mask.put_u8(1 if mask.size() == 0 or mask[i] else 0)
	var taken = row.get("taken", _played[stream])
	for number in [taken] if _single else taken:
		if floats:
			columns.taken.put_float(number)
		else:
			columns.taken.put_32(number)
	var obs = row.get("obs")
	for name in tensors:
		var values = obs[name] if typeof(obs) == TYPE_DICTIONARY else obs
		var wrong = _put(_observation[name][0], values, _lengths[name], tensors[name])
		if wrong != "":
			return "obs.%s: %s" % [name, wrong]
	return ""


# Write one row of a tensor: its numbers, or its bytes as they are.
func _put(dtype, values, length, to):
	if Compat.is_bytes(values) and values.size() == length * SIZES[dtype]:
		to.put_data(values)
		return ""
	if not Compat.is_list(values) or values.size() != length or dtype == "float16":
		var got = values.size() if Compat.is_list(values) else typeof(values)
		return "want %d numbers (float16: their bytes), got %s" % [length, got]
	if dtype == "float32":
		to.put_data(Compat.float_bytes(values))
	elif dtype == "int32":
		for number in values:
			to.put_32(number)
	else:
		for number in values:
			to.put_u8(number & 0xff)
	return ""


func _several(kind, width):
	_action = {"kind": kind}
	floats = kind != "multi_discrete"
	_single = false
	_width = width


func _zeros():
	if _single:
		return 0
	var zeros = []
	for _i in range(_width):
		zeros.append(0.0 if floats else 0)
	return zeros


static func _reader(bytes):
	var from = StreamPeerBuffer.new()
	from.data_array = bytes
	return from
