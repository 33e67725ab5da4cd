package llama

import (
	"strings"

	"transformer2/shared/checkpoint"
	"transformer2/shared/compute"
)

// Held says how a frozen model's numbers are held. Tied, the head's weight is the table too where
// both are of one type.
type Held struct {
	Matrices compute.DType // of the blocks
	Head     compute.DType
	Table    compute.DType // the embedding
}

// All is a model of which everything is held as t.
func All(t compute.DType) Held { return Held{t, t, t} }

// Stored says how a checkpoint holds a model's numbers.
type Stored struct {
	Matrices checkpoint.DType // of most numbers of the blocks' matrices
	Head     checkpoint.DType
	Table    checkpoint.DType

	shape Config
}

// StoredAs is a checkpoint of the config that holds everything as t.
func (c Config) StoredAs(t checkpoint.DType) Stored { return Stored{t, t, t, c} }

// StoredIn looks at the tensors of a checkpoint of the config.
func (c Config) StoredIn(src checkpoint.Source) Stored {
	s := Stored{shape: c}
	numbers := map[checkpoint.DType]int{}
	for _, l := range c.Linears() {
		info, _ := src.Tensor(l.Name)
		numbers[info.DType] += l.Rows * l.Cols
		if numbers[info.DType] > numbers[s.Matrices] {
			s.Matrices = info.DType
		}
	}
	table, _ := src.Tensor(EmbedName)
	s.Head, s.Table = table.DType, table.DType
	if head, _ := src.Tensor(headName); !c.Tied {
		s.Head = head.DType
	}
	return s
}

// faithful is the smallest type that loses much less of a file's numbers than the file's own did
// when it was made, and whether it loses nothing at all. Of normal numbers Q8 loses 0.28 of what
// Q6_K has lost, 0.14 of Q5_1 and Q5_K, 0.07 of Q4_1 and Q4_K, measured as root mean squares; Q4
// would lose as much as Q4_K again, and 0.37 of Q3_K, whose files hold some matrices in finer types.
func faithful(t checkpoint.DType) (own compute.DType, exact bool) {
	switch t {
	case checkpoint.F16:
		return compute.F16, true
	case checkpoint.BF16:
		return compute.BF16, true
	case "Q8_0":
		return compute.Q8, true
	case "Q4_0":
		return compute.Q4, true
	}
	if strings.HasPrefix(string(t), "Q") {
		return compute.Q8, false
	}
	return compute.F32, true
}

// Like holds a model as the checkpoint does, or in the smallest type that loses much less than that
// did (faithful): in BF16 where that type has blocks and the shapes have not. An untied table of F32
// beside smaller matrices is BF16.
func (s Stored) Like() Held {
	like := func(t checkpoint.DType) compute.DType {
		own, _ := faithful(t)
		if !s.shape.Holds(own) {
			return compute.BF16
		}
		return own
	}
	h := Held{like(s.Matrices), like(s.Head), like(s.Table)}
	if h.Table == compute.F32 && h.Matrices != compute.F32 && !s.shape.Tied {
		h.Table = compute.BF16
	}
	return h
}

// As holds the matrices and the head as t, and the table
//
//	as t where that is F32;
//	in the checkpoint's type where that is one of ours, so that its numbers are the checkpoint's, but
//	F32 in 16 bits: t's, or BF16's where t has blocks;
//	else as t where that has 16 bits, and as Q8 where it has blocks.
//
// So a tied head, which is the table where both come to one type, is that unless it is the worse.
func (s Stored) As(t compute.DType) Held {
	own, exact := faithful(s.Table)
	h := Held{t, t, own}
	switch {
	case t == compute.F32, !t.Blocked() && (own == compute.F32 || !exact):
		h.Table = t
	case own == compute.F32:
		h.Table = compute.BF16
	}
	return h
}

// Holds reports whether a model's matrices can be held as t: blocked types want whole blocks.
func (c Config) Holds(t compute.DType) bool {
	return !t.Blocked() || c.Dim%compute.BlockQ8 == 0 && c.Hidden%compute.BlockQ8 == 0 &&
		c.Heads*c.HeadDim%compute.BlockQ8 == 0
}
