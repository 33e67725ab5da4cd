// Package task answers one question: what is asked, and was the answer right?
//
// First of all it is the small suite: a generated world (world.go) with three training tasks and
// three unseen ones that mirror the paper's experiments on self-adaptation (section 4), the
// classification prompt of its first pass (section 3.2), and four tasks whose experts change the
// style of an answer. No model lives here. A task is a seeded generator and a checker:
//
//	math       GSM8K          word problems of one to three steps    the number after ####
//	code       MBPP-Pro       a sentence -> a small function         run on hidden cases
//	reasoning  ARC-Easy       four choices over the world's facts    the letter
//	math-hard       MATH           equations and expressions         \boxed{}, as a rational
//	code-complete   HumanEval      signature, docstring -> body      run on hidden cases
//	reasoning-hard  ARC-Challenge  questions that need two facts     the letter
//	classify   the first pass      which kind of question is this?   the label in \boxed{}
//	shout brief french polite      open questions about the world    share of the style wanted
//
// Splits are disjoint by construction. Every problem has a key, the canonical form of what it
// asks; split(q) depends on hash(task, key(q)) alone, and a generator draws until the split fits.
//
// Questions that a user brings (data.go) are a task, too: files of GSM8K, MATH, ARC, MBPP, HumanEval
// or in a form of their own, split once for all by their names or by hash, judged by the rules of
// judge.go or by a program of the user's.
//
// The pre-training corpus (corpus.go) answers each question in several styles of uneven quality,
// p(a|q) = w·worked + t·terse + s·sloppy. Reinforcement learning sharpens p towards the part
// that is right, so the gap between w and 1 is the room that an expert has.
package task
