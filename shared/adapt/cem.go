package adapt

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Ties says where Score.TieBreak decides between members of one Value.
type Ties string

const (
	TiesNone Ties = "none"
	TiesBest Ties = "best" // in the choice of the best member, as the released code has it
	TiesAll  Ties = "all"  // in the choice of the elites too
)

// Deploy says which point of a finished search is used.
type Deploy string

const (
	// DeployBest is the best member of any generation, as the paper and the released code do it.
	// It is the winner of many noisy comparisons, so its score is too high.
	DeployBest Deploy = "best"
	// DeployMean is μ of the last generation. It was never scored itself.
	DeployMean Deploy = "mean"
)

// Options are the cross-entropy method's (Rubinstein 1999).
type Options struct {
	Iterations int     // generations at most
	Population int     // members of a generation
	EliteRatio float64 // the share of them, rounded down, that the next is drawn around
	Lo, Hi     float64 // numbers are clamped to [Lo, Hi]
	Mean, Std  float64 // of every number in the first generation
	MinStd     float64 // σ never falls below
	Noise      float64 // σ² gains Noise², fading out linearly (Szita & Lőrincz 2006)
	Smoothing  float64 // what is kept of the old μ and σ: new ← s·old + (1−s)·elites'
	Incumbent  bool    // member 0 is the best so far (in the first generation, μ)
	Ties       Ties    // "" is TiesNone
	Deploy     Deploy  // "" is DeployBest
	Target     float64 // ends the search once the best Value reaches it; 0: never
	Patience   int     // ends it after so many generations without a better best; 0: never
	MinGain    float64 // by how much Value must be better for Patience to wait on
	Seed       uint64
	// First are members of the first generation that are not drawn. Among equals the first wins.
	First [][]float32
	// OnGeneration, if set, hears of every generation; it must not change what it is given.
	OnGeneration func(Generation)
}

// Score is how good a member is: more is better. Numbers that are not finite count as −Inf.
type Score struct {
	Value    float64
	TieBreak float64
}

// Generation is one round of a search.
type Generation struct {
	Index     int         // from 0
	Members   [][]float32 // [Population dims]
	Scores    []Score     // [Population]
	Elites    []int       // indices of members, best first; fewer where some are of −Inf
	Best      []float32   // of all generations so far
	BestScore Score
	Mean, Std []float32 // [dims] μ and σ that the next generation is drawn from
}

// Stop is why a search ended.
type Stop string

const (
	StopIterations Stop = "iterations" // all were done
	StopConverged  Stop = "converged"  // all elites were one point
	StopTarget     Stop = "target"
	StopPatience   Stop = "patience"
	StopCancelled  Stop = "cancelled" // or the scoring failed
)

// Outcome is what a search found.
type Outcome struct {
	Alpha       []float32 // [dims] what Deploy names; nil where no generation was scored
	Best        []float32 // the best member
	BestScore   Score
	Mean, Std   []float32
	Generations []Generation
	Stopped     Stop
}

// Search maximises score over [Lo, Hi]^dims by the cross-entropy method:
//
//	draw xᵢ ~ N(μ, σ²), clamped;  take the elites, the best of the xᵢ;  μ, σ ← their mean and
//	standard deviation (of n−1);  repeat
//
// score judges all members of a generation at once. Whatever is random comes from Seed and the
// generation's index. When ctx ends or score fails, the outcome so far comes back with the error.
func Search(ctx context.Context, dims int,
	score func(ctx context.Context, members [][]float32) ([]Score, error), o Options) (
	Outcome, error) {
	s := &search{Options: o, dims: dims}
	if err := s.validate(); err != nil {
		return Outcome{}, err
	}
	s.out.Mean, s.out.Std = filled(dims, o.Mean), filled(dims, o.Std)
	s.out.Stopped = StopIterations
	stale, waited := 0, math.Inf(-1) // generations since Value was last better, and that Value
	for g := range o.Iterations {
		members := s.members(g)
		scores, err := scoreAll(ctx, score, members)
		if err != nil {
			s.out.Stopped = StopCancelled
			return s.finish(), err
		}
		better := s.takeBest(members, scores)
		elites := s.elites(scores)
		s.update(members, elites, g)
		s.record(Generation{Index: g, Members: members, Scores: scores, Elites: elites})
		stale++
		if gain := s.out.BestScore.Value - waited; better && (s.MinGain == 0 || gain >= s.MinGain) {
			stale, waited = 0, s.out.BestScore.Value
		}
		if stop := s.stop(members, elites, stale); stop != "" {
			s.out.Stopped = stop
			break
		}
	}
	return s.finish(), nil
}

// search is the state of a Search.
type search struct {
	Options
	dims int
	out  Outcome
}

func (o *Options) validate() error {
	elites := int(float64(o.Population) * o.EliteRatio)
	finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
	switch {
	case o.Iterations < 1:
		return fmt.Errorf("adapt: search of %d iterations, want 1 or more", o.Iterations)
	case o.Population < 2 || o.Population > maxPopulation:
		return fmt.Errorf("adapt: population is %d, want 2 to %d", o.Population, maxPopulation)
	case !(elites >= 1 && o.EliteRatio <= 1):
		return fmt.Errorf("adapt: elite ratio %v of %d members is %d, want 1 or more, up to all",
			o.EliteRatio, o.Population, elites)
	case !(o.Lo < o.Hi) || !finite(o.Lo) || !finite(o.Hi):
		return fmt.Errorf("adapt: bounds are %v and %v, want a range", o.Lo, o.Hi)
	case !finite(o.Mean) || !(o.Std > 0) || !finite(o.Std):
		return fmt.Errorf("adapt: first generation is N(%v, %v²), want σ > 0", o.Mean, o.Std)
	case !(o.MinStd >= 0 && o.Noise >= 0) || !finite(o.MinStd) || !finite(o.Noise):
		return fmt.Errorf("adapt: least σ %v and noise %v, want 0 or more", o.MinStd, o.Noise)
	case !(o.MinGain >= 0):
		return fmt.Errorf("adapt: least gain is %v, want 0 or more", o.MinGain)
	case !(o.Smoothing >= 0 && o.Smoothing < 1):
		return fmt.Errorf("adapt: smoothing is %v, want 0 to below 1", o.Smoothing)
	case !slices.Contains([]Ties{"", TiesNone, TiesBest, TiesAll}, o.Ties):
		return fmt.Errorf("adapt: ties %q, want %s, %s or %s", o.Ties, TiesNone, TiesBest, TiesAll)
	case !slices.Contains([]Deploy{"", DeployBest, DeployMean}, o.Deploy):
		return fmt.Errorf("adapt: deploy %q, want %s or %s", o.Deploy, DeployBest, DeployMean)
	case len(o.First) > o.Population:
		return fmt.Errorf("adapt: %d first members in a population of %d", len(o.First), o.Population)
	}
	return nil
}

// maxPopulation bounds what a mistyped number can ask for.
const maxPopulation = 1 << 12

func (s *search) validate() error {
	if s.dims < 1 {
		return fmt.Errorf("adapt: search over %d numbers, want 1 or more", s.dims)
	}
	for i, m := range s.First {
		if len(m) != s.dims {
			return fmt.Errorf("adapt: first member %d has %d numbers, want %d", i, len(m), s.dims)
		}
	}
	return s.Options.validate()
}

func filled(n int, v float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(v)
	}
	return x
}

// members draws a generation.
func (s *search) members(g int) [][]float32 {
	rng := rand.New(rand.NewPCG(s.Seed, uint64(g)))
	members := make([][]float32, s.Population)
	for i := range members {
		m := make([]float32, s.dims)
		for j := range m { // drawn even where it is not used, so that the rest does not shift
			v := float64(s.out.Mean[j]) + float64(s.out.Std[j])*rng.NormFloat64()
			m[j] = s.clamp(v)
		}
		switch {
		case g == 0 && i < len(s.First):
			copy(m, s.First[i])
		case i == 0 && s.Incumbent && g > 0:
			copy(m, s.out.Best)
		case i == 0 && s.Incumbent:
			copy(m, s.out.Mean)
		}
		members[i] = m
	}
	return members
}

func (s *search) clamp(v float64) float32 { return float32(min(max(v, s.Lo), s.Hi)) }

func scoreAll(ctx context.Context, score func(context.Context, [][]float32) ([]Score, error),
	members [][]float32) ([]Score, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	scores, err := score(ctx, members)
	if err != nil {
		return nil, err
	}
	if len(scores) != len(members) {
		return nil, fmt.Errorf("adapt: %d scores for %d members", len(scores), len(members))
	}
	for i, sc := range scores {
		scores[i] = Score{finiteOr(sc.Value, math.Inf(-1)), finiteOr(sc.TieBreak, math.Inf(-1))}
	}
	return scores, nil
}

func finiteOr(v, instead float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return instead
	}
	return v
}

// compare orders scores, the better as the greater.
func (a Score) compare(b Score, ties bool) int {
	if c := cmp.Compare(a.Value, b.Value); c != 0 || !ties {
		return c
	}
	return cmp.Compare(a.TieBreak, b.TieBreak)
}

// takeBest reports whether a member is better than all before it.
func (s *search) takeBest(members [][]float32, scores []Score) (better bool) {
	ties := s.Ties == TiesBest || s.Ties == TiesAll
	for i, sc := range scores {
		if s.out.Best == nil || sc.compare(s.out.BestScore, ties) > 0 {
			s.out.Best, s.out.BestScore, better = members[i], sc, true
		}
	}
	return better
}

// elites are the indices of the best members, best first, the first among equals. Members of
// −Inf, which could not be scored, are none.
func (s *search) elites(scores []Score) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return scores[b].compare(scores[a], s.Ties == TiesAll)
	})
	order = order[:int(float64(s.Population)*s.EliteRatio)]
	return slices.DeleteFunc(order, func(i int) bool { return math.IsInf(scores[i].Value, -1) })
}

// update moves μ and σ to the elites; without any they stay.
func (s *search) update(members [][]float32, elites []int, g int) {
	if len(elites) == 0 {
		return
	}
	mean, std := make([]float32, s.dims), make([]float32, s.dims)
	fade := s.Noise * (1 - float64(g+1)/float64(s.Iterations))
	n := float64(len(elites))
	for j := range s.dims {
		sum, squares := 0.0, 0.0
		for _, i := range elites {
			sum += float64(members[i][j])
		}
		mu := sum / n
		for _, i := range elites {
			d := float64(members[i][j]) - mu
			squares += d * d
		}
		sigma := math.Sqrt(squares / max(n-1, 1))
		mu = s.Smoothing*float64(s.out.Mean[j]) + (1-s.Smoothing)*mu
		sigma = s.Smoothing*float64(s.out.Std[j]) + (1-s.Smoothing)*sigma
		mean[j], std[j] = float32(mu), float32(max(math.Hypot(sigma, fade), s.MinStd))
	}
	s.out.Mean, s.out.Std = mean, std
}

func (s *search) record(g Generation) {
	g.Best, g.BestScore = s.out.Best, s.out.BestScore
	g.Mean, g.Std = s.out.Mean, s.out.Std
	s.out.Generations = append(s.out.Generations, g)
	if s.OnGeneration != nil {
		s.OnGeneration(g)
	}
}

// stop is why the search need not go on, or "".
func (s *search) stop(members [][]float32, elites []int, stale int) Stop {
	one := !slices.ContainsFunc(elites, func(i int) bool {
		return !slices.Equal(members[i], members[elites[0]])
	})
	switch {
	case s.Target != 0 && s.out.BestScore.Value >= s.Target:
		return StopTarget
	case one && len(elites) > 1:
		return StopConverged
	case s.Patience > 0 && stale >= s.Patience:
		return StopPatience
	}
	return ""
}

func (s *search) finish() Outcome {
	s.out.Alpha = s.out.Best
	if s.Deploy == DeployMean && s.out.Best != nil {
		s.out.Alpha = s.out.Mean
	}
	return s.out
}
