-- Whether a file is Lua; nothing of it is run.
assert(loadfile(arg[1]))
