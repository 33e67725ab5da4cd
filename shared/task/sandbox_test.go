package task

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestSandboxAccepts(t *testing.T) {
	good := map[string]string{
		"sum":      "def f(xs): return sum(xs)",
		"loop":     "def f(xs):\n  t = 0\n  for x in xs:\n    t += x\n  return t",
		"index +=": "def f(xs):\n  ys = [0]\n  for x in xs:\n    ys[0] += x\n  return ys[0]",
		"list +=":  "def f(xs):\n  ys = []\n  ys += xs\n  return sum(ys)",
		"lambda":   "f = lambda xs: sum(xs)",
		"helper":   "def g(a, b=0): return a + b\ndef f(xs): return g(sum(xs), b=0)",
		"branches": "def f(xs):\n  if not xs or len(xs) == 0: return 0\n" +
			"  return sum([x for x in xs if x != 0 and x in xs])",
		"key":     "def f(xs): return sum(sorted(xs, key=lambda x: -x, reverse=True))",
		"unpack":  "def f(xs):\n  a, b = xs[0], sum(xs[1:])\n  return a + b",
		"ternary": "def f(xs): return sum(xs) if xs else 0",
		"strings": "def f(xs): return sum([int(str(x).strip()) for x in xs])",
		"zip":     "def f(xs): return sum([a for a, _ in zip(xs, range(len(xs)))])",
		"float":   "def f(xs): return sum(xs) / 1",
		"append pop": "def f(xs):\n  ys = []\n  for x in reversed(xs): ys.append(x)\n" +
			"  return sum(ys)",
	}
	cases := []Case{{"f([3, 1, 5])", "9"}, {"f([-2, 2])", "0"}}
	for name, src := range good {
		if err := RunCases(src, cases); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSandboxComparesValues(t *testing.T) {
	for _, c := range []struct {
		src  string
		want string
		ok   bool
	}{
		{"def f(): return [1, [2, -3], True]", "[1, [2, -3], True]", true},
		{"def f(): return [1, 2]", "[2, 1]", false},
		{"def f(): return (1, 2)", "[1, 2]", false},
		{"def f(): return None", "0", false},
		{"def f(): pass", "[]", false},
		{"def f(): return 1", "True", false},
		{"def g(): return 1", "1", false},
		{"f = 1", "1", false},
	} {
		if err := RunCases(c.src, []Case{{"f()", c.want}}); (err == nil) != c.ok {
			t.Errorf("%q against %s: %v", c.src, c.want, err)
		}
	}
	if RunCases("def f(): return 1", nil) == nil {
		t.Error("no cases, yet no error")
	}
	for _, c := range []Case{{"f", "1"}, {"f(", "1"}, {"f(x)", "1"}, {"f()", ""}, {"f()", "1 1"},
		{"f(" + strings.Repeat("[", 10000) + ")", "1"}} {
		if RunCases("def f(): return 1", []Case{c}) == nil {
			t.Errorf("case %.20q: want an error", c.Call)
		}
	}
}

// hostile programs try to hang, to fill the memory, to crash or to reach outside.
var hostile = map[string]string{
	"list times":     "def f(xs): return [0] * 1000000000",
	"string times":   "def f(xs): return 'a' * 1000000000",
	"tuple times":    "def f(xs): return (0,) * 1000000000",
	"bytes times":    "def f(xs): return b'aaaaaaaaaaaaaaaa' * 1000",
	"reversed times": "def f(xs): return 1000000000 * [0]",
	"times equals":   "def f(xs):\n  xs *= 1000000000\n  return xs",
	"doubling":       "def f(xs):\n  for i in range(60): xs += xs\n  return xs",
	"doubling plain": "def f(xs):\n  for i in range(60): xs = xs + xs\n  return xs",
	"double string":  "def f(xs):\n  s = 'a'\n  for i in range(60): s += s\n  return s",
	"percent": "def f(xs):\n  s = 'a'\n" +
		"  for i in range(60): s = '%s%s' % (s, s)\n  return s",
	"squaring":      "def f(xs):\n  x = 7\n  for i in range(60): x = x * x\n  return x",
	"shift":         "def f(xs):\n  x = 1\n  for i in range(60): x = x << 500\n  return x",
	"literal":       "def f(xs):\n  x = " + strings.Repeat("9", 4000) + "\n  return x % 7",
	"list of range": "def f(xs): return list(range(1000000000))",
	"sorted range":  "def f(xs): return sorted(range(1000000000))",
	"sum range":     "def f(xs): return sum(range(1000000000))",
	"max range":     "def f(xs): return max(range(1000000000))",
	"any range":     "def f(xs): return all(range(1, 1000000000))",
	"zip range":     "def f(xs): return zip(range(1000000000), range(1000000000))",
	"slice range":   "def f(xs): return list(range(1000000000)[::-1])",
	"star":          "def f(xs): return max(*range(1000000000))",
	"unpack":        "def f(xs):\n  a, b = range(1000000000)\n  return a",
	"loop":          "def f(xs):\n  for i in range(1000000000): pass",
	"comprehension": "def f(xs): return [i for i in range(1000000000)]",
	"nested loops": "def f(xs): return len([0 for a in range(1000) " +
		"for b in range(1000) for c in range(1000)])",
	"while":        "def f(xs):\n  while True: pass",
	"recursion":    "def f(xs): return f(xs)",
	"mutual":       "def g(xs): return f(xs)\ndef f(xs): return g(xs)",
	"combinator":   "f = (lambda g: g(g))(lambda g: g(g))",
	"cycle":        "def f(xs):\n  xs.append(xs)\n  return str(xs)",
	"cycle result": "def f(xs):\n  xs.append(xs)\n  return xs",
	"nested str":   "def f(xs):\n  x = [0]\n  for i in range(60): x = [x, x]\n  return str(x)",
	"nested print": "def f(xs):\n  x = [0]\n  for i in range(60): x = [x, x]\n" +
		"  print(x)\n  return 0",
	"nested result": "def f(xs):\n  x = [0]\n  for i in range(60): x = [x, x]\n  return x",
	"nested equal": "def f(xs):\n  x, y = [0], [0]\n" +
		"  for i in range(8): x, y = [x] * 900, [y] * 900\n  return x == y",
	"nested in": "def f(xs):\n  x, y = [0], [0]\n" +
		"  for i in range(8): x, y = [x] * 900, [y] * 900\n  return x in [y]",
	"nested key": "def f(xs):\n  def k(z):\n    x = [0]\n" +
		"    for i in range(8): x = [x] * 900\n    return x\n  return sorted(xs, key=k)",
	"nested hash": "def f(xs):\n  x = (0,)\n  for i in range(60): x = (x, x)\n  return {x: 1}",
	"hash":        "def f(xs): return hash('a')",
	"getattr":     "def f(xs): return getattr(xs, 'extend')(xs)",
	"extend":      "def f(xs):\n  for i in range(60): xs.extend(xs)\n  return xs",
	"join":        "def f(xs): return ('a' * 900).join(['b'] * 900)",
	"replace":     "def f(xs): return ('a' * 900).replace('', 'b' * 900)",
	"format":      "def f(xs): return '{0}{0}'.format('a' * 900)",
	"load":        "load('os', 'system')\ndef f(xs): return 0",
	"import":      "import os\ndef f(xs): return os.system('true')",
	"open":        "def f(xs): return open('/etc/passwd')",
	"eval":        "def f(xs): return eval('1')",
	"dunder":      "def f(xs): return xs.__class__",
	"fail":        "def f(xs): fail('no')",
	"parens":      "def f(xs): return " + strings.Repeat("(", 2000) + strings.Repeat(")", 2000),
	"brackets":    "f = " + strings.Repeat("[", 3000),
	"minus":       "def f(xs): return " + strings.Repeat("-", 4000) + "x",
	"not":         "f = " + strings.Repeat("not ", 1000) + "g",
	"lambdas":     "f = " + strings.Repeat("lambda: ", 500) + "0",
	"plus chain":  "def f(xs): return " + strings.Repeat("xs+", 1300) + "xs",
	"long":        "def f(xs): return 0\n" + strings.Repeat("#", 10_000_000),
	"nul":         "def f(xs):\x00 return 0",
	"not utf-8":   "def f(xs): return '\xff\xfe'",
	"tabs":        "def f(xs):\n\t return 0\n  return 1",
	"empty":       "",
	"kwargs":      "def f(*a, **k): return k",
	"set":         "def f(xs): return set(xs)",
	"copies": "def f(xs):\n  ys = [i for i in range(900)]\n" +
		"  return [ys[:] for i in range(9000)]",
	"deep copies": "def f(xs):\n  ys = []\n" +
		"  for i in range(900): ys.append([i])\n  out = []\n" +
		"  for i in range(5000): out.append(str(ys[:200]))\n  return out",
	"int":       "def f(xs): return int('9' * 900)",
	"big float": "def f(xs): return int(1e308) * int(1e308)",
}

// hostileTime and hostileBytes bound one hostile program. Measured 20 ms and 9 MB at worst;
// the margins are for slow machines.
const (
	hostileTime  = 3 * time.Second
	hostileBytes = 64 << 20
)

func TestSandboxHostile(t *testing.T) {
	var slowest time.Duration
	var most uint64
	for name, src := range hostile {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		err := RunCases(src, []Case{{"f([3, 1, 2])", "123456789"}})
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		alloc := after.TotalAlloc - before.TotalAlloc
		if took > hostileTime || alloc > hostileBytes {
			t.Errorf("%s: %v and %d MB", name, took, alloc>>20)
		}
		slowest, most = max(slowest, took), max(most, alloc)
	}
	t.Logf("%d programs, slowest %v, most %d MB", len(hostile), slowest, most>>20)
}

func FuzzRunCases(f *testing.F) {
	for _, src := range hostile {
		if len(src) < maxSource {
			f.Add(src)
		}
	}
	f.Add("def f(xs):\n  ys = [x for x in xs if x > 2]\n  return ys[::-1]")
	f.Fuzz(func(t *testing.T, src string) {
		start := time.Now()
		_ = RunCases(src, []Case{{"f([3, 1, 2])", "[3]"}})
		if took := time.Since(start); took > hostileTime {
			t.Errorf("took %v", took)
		}
	})
}

func BenchmarkRunCases(b *testing.B) {
	tk, err := Lookup("code")
	if err != nil {
		b.Fatal(err)
	}
	it := tk.Item(Test, 0)
	for b.Loop() {
		if tk.Score(it, it.Worked) != 1 {
			b.Fatal("worked answer is wrong")
		}
	}
}
