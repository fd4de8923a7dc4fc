# @HEAD@
# One file for Godot 3.2 and later and Godot 4 (no `extends`: a Reference there, a RefCounted here).
#
#     var policy = load("res://@NAME@.gd").new()
#     policy.reset()                          # an episode begins
#     var action = policy.act(observation)    # and policy.values has what the network said

const FACTS = @FACTS@
const SHAPE = @SHAPE@
const PROGRAM = @PROGRAM@
const DATA = "@DATA@"

var values = []
var _floats = []
var _ints = []
var _rows = []
var _played = []
var _aside = []
var _begun = false


func _init():
	var stream = StreamPeerBuffer.new()
	stream.data_array = Marshalls.base64_to_raw(DATA)
	_floats.resize(SHAPE.floats)
	for i in range(SHAPE.floats):
		_floats[i] = stream.get_float()
	_ints.resize(SHAPE.ints)
	for i in range(SHAPE.ints):
		_ints[i] = stream.get_8()
	_aside.resize(SHAPE.aside.size())
	reset()


# Begin an episode.
func reset():
	_begun = false
	_rows = []
	_played = []
	for _i in range(SHAPE.last_actions * SHAPE.branches.size()):
		_played.append(-1)


# The best legal action for a row: a number, or an array of one for each branch. `mask` is null or
# has 1 for each legal action of all branches.
func act(observation, mask = null):
	evaluate(observation)
	var best = []
	var at = 0
	for width in SHAPE.branches:
		var first = -1
		for i in range(width):
			if mask != null and not mask[at + i]:
				continue
			if first < 0 or values[at + i] > values[at + first]:
				first = i
		best.append(0 if first < 0 else first)
		at += width
	if SHAPE.last_actions > 0:
		for b in range(best.size()):
			_played.pop_front()
			_played.append(best[b])
	return best[0] if best.size() == 1 else best


# The numbers that an action of `act` stands for, as the game takes them; it is one of bins.
func numbers(action):
	var all = [action] if typeof(action) == typeof(1) else action
	if all.size() == 1:
		return SHAPE.numbers[all[0]]
	var found = []
	for head in range(all.size()):
		found.append(SHAPE.numbers[head][all[head]])
	return found


# Say what was played after the last row where that was another action.
func tell(action):
	var all = [action] if typeof(action) == typeof(1) else action
	if SHAPE.last_actions > 0:
		for b in range(all.size()):
			_played[_played.size() - all.size() + b] = all[b]


# Take in a row; return what the network says of it.
func evaluate(observation):
	var row = _flat(observation)
	assert(row.size() == SHAPE.row)
	if not _begun:
		_rows = []
		for _k in range(SHAPE.stack):
			_rows.append(row)
	else:
		_rows.append(row)
		_rows.pop_front()
	_begun = true
	var x = _assemble()
	for step in PROGRAM:
		x = _run(step, x)
	values = x
	return values


func _flat(observation):
	if typeof(observation) != TYPE_DICTIONARY:
		return observation
	var row = []
	for tensor in SHAPE.tensors:
		var part = observation[tensor.name]
		if typeof(part) == typeof(1) or typeof(part) == typeof(1.0):
			part = [part]
		for value in part:
			row.append(value)
	return row


func _assemble():
	var x = []
	var channels = int(SHAPE.row / SHAPE.places)
	var n = SHAPE.branches.size()
	for place in range(SHAPE.places):
		for k in range(SHAPE.stack):
			for i in range(channels):
				x.append(float(_rows[k][place * channels + i]))
		for k in range(SHAPE.last_actions):
			for b in range(n):
				for i in range(SHAPE.branches[b]):
					x.append(1.0 if _played[k * n + b] == i else 0.0)
	return x


func _run(step, x):
	match step.op:
		"dense":
			var y = _zeros(step.out)
			_add_rows(step, x, 0, step.in, step.out, step.w, y, 0)
			_finish(step, step.out, y, 0)
			return y
		"lookup":
			var y = _zeros(step.out)
			for i in range(step.in):
				if x[i] >= 0:
					_add_rows(step, [1.0], 0, 1, step.out, step.w + int(x[i]) * step.out, y, 0)
			_finish(step, step.out, y, 0)
			return y
		"conv":
			return _conv(step, x)
		"max_pool", "avg_pool":
			return _pool(step, x, step.op == "max_pool")
		"act":
			for i in range(step.out):
				x[i] = _curve(step.act, x[i], step.slope)
		"rescale":
			_rescale(step, x)
		"norm":
			_norm(step, x)
		"merge":
			return _merge(step, x)
		"expect":
			return _expect(step, x)
		"keep":
			_aside[step.at] = x.duplicate()
		"plus":
			for i in range(step.out):
				x[i] += _aside[step.at][i]
	return x


func _zeros(size):
	var y = []
	y.resize(size)
	for i in range(size):
		y[i] = 0.0
	return y


func _add_rows(step, x, from, count, width, w, y, to):
	var weights = _floats if step.scale < 0 else _ints
	for i in range(count):
		var v = x[from + i]
		if v == 0:
			continue
		var row = w + i * width
		for j in range(width):
			y[to + j] += v * weights[row + j]


func _finish(step, width, y, to):
	if step.scale >= 0:
		for j in range(width):
			y[to + j] *= _floats[step.scale + j]
	if step.b >= 0:
		for j in range(width):
			y[to + j] += _floats[step.b + j]


# [place in x, tap] of every place under the window at (i, j) that is not padding.
func _under(step, i, j):
	var found = []
	for u in range(step.kernel[0]):
		for v in range(step.kernel[1]):
			var down = i * step.stride[0] - step.padding[0] + u
			var across = j * step.stride[1] - step.padding[1] + v
			if down >= 0 and across >= 0 and down < step.height and across < step.width:
				found.append([(down * step.width + across) * step.depth, u * step.kernel[1] + v])
	return found


func _conv(step, x):
	var y = _zeros(step.out)
	var to = 0
	for i in range(step.out_height):
		for j in range(step.out_width):
			for each in _under(step, i, j):
				var w = step.w + each[1] * step.depth * step.channels
				_add_rows(step, x, each[0], step.depth, step.channels, w, y, to)
			_finish(step, step.channels, y, to)
			to += step.channels
	return y


func _pool(step, x, largest):
	var y = []
	for i in range(step.out_height):
		for j in range(step.out_width):
			var places = _under(step, i, j)
			for c in range(step.depth):
				var found = x[places[0][0] + c]
				for k in range(1, places.size()):
					var v = x[places[k][0] + c]
					found = max(found, v) if largest else found + v
				y.append(found if largest else found / places.size())
	return y


func _curve(name, v, slope):
	match name:
		"relu":
			return v if v > 0 else 0.0
		"leaky_relu":
			return v if v > 0 else slope * v
		"sigmoid":
			return 0.5 + 0.5 * tanh(0.5 * v)
		"tanh":
			return tanh(v)
		"softplus":
			return max(v, 0.0) + log(1.0 + exp(-abs(v)))
		"gelu":
			return 0.5 * v * (1.0 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)))
	return exp(min(max(v, -10.0), 10.0))


func _rescale(step, x):
	for i in range(step.out):
		var j = i % int(step.n)
		var v = (x[i] - _floats[step.shift + j]) * _floats[step.scale + j] + _floats[step.bias + j]
		x[i] = v if step.limit < 0 else min(max(v, -step.limit), step.limit)


func _norm(step, x):
	var n = int(step.n)
	for at in range(0, step.out, n):
		var mean = 0.0
		var variance = 0.0
		for i in range(n):
			mean += x[at + i]
		mean /= n
		for i in range(n):
			variance += (x[at + i] - mean) * (x[at + i] - mean)
		var scale = 1.0 / sqrt(variance / n + step.eps)
		for i in range(n):
			x[at + i] = (x[at + i] - mean) * scale * _floats[step.gain + i] + _floats[step.bias + i]


func _merge(step, x):
	var y = []
	var from = 0
	for _z in range(step.atoms):
		var value = x[from]
		from += 1
		for width in step.branches:
			var mean = 0.0
			for i in range(width):
				mean += x[from + i]
			mean /= width
			for i in range(width):
				y.append(x[from + i] - mean + value)
			from += width
	return y


func _expect(step, x):
	var y = []
	var actions = int(step.out)
	for a in range(actions):
		var most = x[a]
		var total = 0.0
		var sum = 0.0
		for z in range(1, step.atoms):
			most = max(most, x[z * actions + a])
		for z in range(step.atoms):
			var v = x[z * actions + a]
			var share = 1.0 if step.returns < 0 else exp(v - most)
			total += share
			sum += share * (v if step.returns < 0 else _floats[step.returns + z])
		y.append(sum / total)
	return y
