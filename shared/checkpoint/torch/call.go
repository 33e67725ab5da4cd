package torch

// What a pickle's calls would do: each is known by name and done here.

// global pushes a name that may be called, or the type of a storage.
func (u *unpickler) global(module, name string) {
	g := pickleGlobal(module + " " + name)
	if _, ok := storages[g]; !ok && g != orderedDict && g != rebuildTensor &&
		g != rebuildParameter {
		u.fail("it names %.60q of %.60q, which no tensor needs", name, module)
	}
	u.push(g)
}

// stackGlobal is global of two texts on the stack.
func (u *unpickler) stackGlobal() {
	names := u.popN(2)
	if u.err != nil {
		return
	}
	module, ok := names[0].(string)
	name, named := names[1].(string)
	if !ok || !named {
		u.fail("a name of %s and %s, want texts", pickleKind(names[0]), pickleKind(names[1]))
	}
	u.global(module, name)
}

// persistent turns ("storage", type, key, device, count) into a storage.
func (u *unpickler) persistent() {
	id, _ := u.top().(pickleTuple)
	u.popN(1)
	if u.err == nil && len(id) != 5 {
		u.fail("a reference of %d parts, want a storage's 5", len(id))
	}
	if u.err != nil {
		return
	}
	kind, _ := id[0].(string)
	class, _ := id[1].(pickleGlobal)
	key, named := id[2].(string)
	numel, counted := id[4].(int64)
	dtype, ok := storages[class]
	if kind != "storage" || !ok || !named || !counted {
		u.fail("a reference to %.60q, %s, %s, %s; want a storage, its type, file and length", kind,
			pickleKind(id[1]), pickleKind(id[2]), pickleKind(id[4]))
	}
	u.push(&storage{dtype, key, numel})
}

// reduce calls a global with a tuple of arguments.
func (u *unpickler) reduce() {
	pair := u.popN(2)
	if u.err != nil {
		return
	}
	args, ok := pair[1].(pickleTuple)
	global, _ := pair[0].(pickleGlobal)
	switch {
	case ok && global == orderedDict && len(args) == 0:
		u.push(&pickleDict{values: map[string]any{}})
	case ok && global == rebuildTensor && (len(args) == 6 || len(args) == 7):
		u.push(u.tensor(args))
	case ok && global == rebuildParameter && len(args) == 3:
		t, ok := args[0].(*tensor)
		if !ok {
			u.fail("a parameter of %s, want a tensor", pickleKind(args[0]))
		}
		u.push(t)
	default:
		u.fail("a call of %s with %s of %d, want one that makes a tensor or a dictionary",
			pickleKind(pair[0]), pickleKind(pair[1]), len(args))
	}
}

// tensor is _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]).
func (u *unpickler) tensor(args pickleTuple) *tensor {
	held, isStorage := args[0].(*storage)
	offset, isInt := args[1].(int64)
	size, sized := integers(args[2])
	strides, strided := integers(args[3])
	switch {
	case !isStorage || !isInt || !sized || !strided:
		u.fail("a tensor of %s, %s, %s, %s; want a storage, an offset, sizes and strides",
			pickleKind(args[0]), pickleKind(args[1]), pickleKind(args[2]), pickleKind(args[3]))
	case len(size) != len(strides) || len(size) > maxSides:
		u.fail("a tensor of %d sizes and %d strides, want as many of both, at most %d", len(size),
			len(strides), maxSides)
	}
	if u.err != nil {
		return nil
	}
	t := &tensor{storage: held, offset: offset, strides: strides}
	for i, n := range size {
		if n < 0 || n != int64(int(n)) || strides[i] < 0 {
			u.fail("a tensor of sizes %v and strides %v, want none below 0", size, strides)
		}
		t.shape = append(t.shape, int(n))
	}
	return t
}

// integers are the parts of a tuple.
func integers(v any) ([]int64, bool) {
	tuple, ok := v.(pickleTuple)
	list := make([]int64, len(tuple))
	for i, part := range tuple {
		n, is := part.(int64)
		list[i], ok = n, ok && is
	}
	return list, ok
}

// build would set attributes of an object. A module's state dictionary carries the versions of its
// layers as one, which say nothing of its numbers.
func (u *unpickler) build() {
	state := u.popN(1)
	if _, ok := u.top().(*pickleDict); u.err == nil && !ok {
		u.fail("attributes (%s) of %s, want a dictionary's", pickleKind(state[0]), pickleKind(u.top()))
	}
}
