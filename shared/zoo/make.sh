#!/bin/sh
# Retrains everything that ships: base models from the generated corpus, then their experts.
#
#	shared/zoo/make.sh bin/t2 [MODEL ...]
#
# A run that was stopped goes on where it was: its state lies below $RUNS (default runs/zoo).
# Nothing in models/ changes before the run that makes it has ended.
set -eu
t2=$1
shift
models=${*:-tako tako-b}
runs=${RUNS:-runs/zoo}
zoo=$(dirname "$0")/models

# thin keeps every 25th step of a run log, and every evaluation.
thin() { awk '/"kind":"eval"/ || /"kind":"resume"/ || NR % 25 == 1' "$1"; }

# base MODEL SEED [FLAGS]: about 25 M tokens.
base() {
	model=$1 seed=$2
	shift 2
	"$t2" pretrain --out "$runs/$model/base" --seed "$seed" --steps 6000 --batch-tokens 4096 --lr 2e-3 \
		--eval-every 500 --save-every 100 "$@"
	mkdir -p "$zoo/$model/experts" "$zoo/$model/log"
	for file in config.json tokenizer.json model.safetensors; do
		cp "$runs/$model/base/$file" "$zoo/$model/"
	done
	thin "$runs/$model/base/log.jsonl" >"$zoo/$model/log/base.jsonl"
}

# expert MODEL NAME STEPS [FLAGS]: a z-vector for the task NAME, the best of its run by validation.
expert() {
	model=$1 name=$2 steps=$3
	shift 3
	"$t2" train --model "$zoo/$model" --task "$name" --steps "$steps" --out "$runs/$model/$name" "$@"
	cp "$runs/$model/$name/best.safetensors" "$zoo/$model/experts/$name.safetensors"
	thin "$runs/$model/$name/log.jsonl" >"$zoo/$model/log/$name.jsonl"
}

for model in $models; do
	case $model in
	tako) base tako 1 ;;
	# One family: the same vocabulary and shape, other fresh weights and another stream of the corpus.
	tako-b) base tako-b 2 --tokenizer "$zoo/tako/tokenizer.json" ;;
	*) echo "make.sh: no model $model, there are: tako tako-b" >&2; exit 1 ;;
	esac
	expert "$model" math 100
	expert "$model" code 80
	expert "$model" reasoning 60
	expert "$model" classify 60
	expert "$model" shout 80
	expert "$model" brief 60
	expert "$model" french 30
	expert "$model" polite 30
done
