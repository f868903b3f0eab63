#!/usr/bin/env bash
# CSC against wav2vec 2.0, MFCCs and a supervised x-vector: the same manifests, head, fine-tuning and budget. `compare.sh` prints help.
set -euo pipefail

usage() {
  cat >&2 << 'END'
usage: examples/csc/compare.sh DATA OUT

DATA  a folder of manifests (train, valid, dev, test with .spk; noise, rir, test_noise, test_rir where there are any), or recordings:
      speech/CORPUS/SPEAKER/..., speakers.tsv (corpus, speaker, split), and perhaps noise/ with noise.tsv (name, split) and rir/
OUT   everything else; the same command goes on where it was stopped. The table: OUT/evaluation/report.html and results.md, with
      OUT/budgets.md

Pre-trains both encoders, trains a head on each while it is frozen, tunes each, trains an x-vector, and evaluates them all. Only the
pre-training of CSC hears other talkers, noise and rooms, which are its method, and it has speaker labels; all that follows is the same
for both encoders. The x-vector has the data and updates of the fine-tuning, no pre-training, and the pooling of its paper. Each training
runs on one thread unless OMP_NUM_THREADS says otherwise. Also from the environment:
  TRAININGS                       how many trainings run at a time (2; a GPU has room for all five fine-tunings)
  CSC, W2V                        checkpoints of pre-training to take instead
  CSC_CONFIG, W2V_CONFIG          configurations of pre-training (csc_small, wav2vec2_small)
  CSC_OPTIONS, W2V_OPTIONS        further options of pre-training
  TUNE, CSC_TUNE, W2V_TUNE        further options of all fine-tuning, of that of CSC, of that of wav2vec 2.0
  EVALUATE                        further options of the last csc evaluate
END
}

[ $# -eq 2 ] || { usage; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=steps.sh
source "$here/steps.sh"
for given in "${CSC:-}" "${W2V:-}"; do
  [ -z "$given" ] || [ -f "$given" ] || fail "$given: no such checkpoint (CSC, W2V)"
done
trainings=${TRAININGS:-2}
[[ $trainings =~ ^[1-9][0-9]*$ ]] || fail "TRAININGS=$trainings: not a number of trainings"
folders "$1" "$2"
python=$(dirname "$(command -v csc)")/python
read -ra csc_options <<< "${CSC_OPTIONS:-}"
read -ra w2v_options <<< "${W2V_OPTIONS:-}"
read -ra tune <<< "${TUNE:-}"
read -ra csc_tune <<< "${CSC_TUNE:-}"
read -ra w2v_tune <<< "${W2V_TUNE:-}"
read -ra evaluate <<< "${EVALUATE:-}"

# --- manifests -------------------------------------------------------------------------------------------------------------------
if [ -f "$data/train.tsv" ]; then
  manifests=$data
else
  manifests=$out/manifests
  [ -f "$data/speakers.tsv" ] || fail "$data: holds neither train.tsv nor speakers.tsv; see compare.sh without arguments"
  if once "$manifests" "$data"; then
    csc prepare folders "$data/speech" --speaker-level 2 --splits "$data/speakers.tsv" --ignore-missing --valid-per-speaker 2 \
      --min-seconds 0.5 --out "$manifests"
    if [ -f "$data/noise.tsv" ]; then
      csc prepare audio "$data/noise" --list "$data/noise.tsv" --split train --out "$manifests/noise.tsv"
      csc prepare audio "$data/noise" --list "$data/noise.tsv" --split test --out "$manifests/test_noise.tsv"
    fi
    if [ -d "$data/rir" ]; then
      # The last quarter of the responses, in the order of their names, is for the test; from one room, if there is only one.
      (cd "$data/rir" && find . -name '*.flac' -o -name '*.wav') | sed 's|.*/||; s|\.[^.]*$||' | LC_ALL=C sort > "$out/responses.txt"
      awk -v count="$(wc -l < "$out/responses.txt")" \
        'BEGIN { print "name\tsplit" } { print $0 "\t" (NR > count * 3 / 4 ? "test" : "train") }' "$out/responses.txt" > "$out/responses.tsv"
      csc prepare audio "$data/rir" --list "$out/responses.tsv" --split train --out "$manifests/rir.tsv"
      csc prepare audio "$data/rir" --list "$out/responses.tsv" --split test --out "$manifests/test_rir.tsv"
    fi
    touch "$manifests/complete"
  fi
fi
for split in train valid dev test; do
  for suffix in tsv spk; do
    [ -f "$manifests/$split.$suffix" ] || fail "$manifests/$split.$suffix: not found; see \`csc prepare folders --help\`"
  done
done
contents=$(LC_ALL=C; checksum "$manifests"/*.tsv "$manifests"/*.spk)  # in an order that no locale changes
mixing_options "$manifests"
mixing=("task.data=$manifests" "${mixing[@]}") conditions=()
if [ -f "$manifests/test_noise.tsv" ]; then conditions+=(--noise "other=$manifests/test_noise.tsv"); fi
if [ -f "$manifests/test_rir.tsv" ]; then conditions+=(--rir "$manifests/test_rir.tsv"); fi

# --- training --------------------------------------------------------------------------------------------------------------------
# start COMMAND...: in the background, once fewer than TRAININGS run. finish: waits for all of them; fails if one failed.
running=0 failed=0
next() { wait -n || failed=1; running=$((running - 1)); }
finish() { while [ "$running" -gt 0 ]; do next; done; return "$failed"; }
start() {
  while [ "$running" -ge "$trainings" ]; do next; done
  [ "$failed" = 0 ] || finish
  "$@" &
  running=$((running + 1))
}

last=checkpoints/checkpoint_last.pt best=checkpoints/checkpoint_best.pt
csc=${CSC:-$out/csc/$last} w2v=${W2V:-$out/wav2vec2/$last}
pretrain_csc() { [ -n "${CSC:-}" ] || train csc "${CSC_CONFIG:-csc_small}" "${mixing[@]}" "${csc_options[@]}"; }
pretrain_w2v() { [ -n "${W2V:-}" ] || train wav2vec2 "${W2V_CONFIG:-wav2vec2_small}" "task.data=$manifests" "${w2v_options[@]}"; }
start pretrain_csc
start pretrain_w2v
finish

csc_tune=("${mixing[@]}" "model.pretrained=$csc" "${tune[@]}" "${csc_tune[@]}")
w2v_tune=("${mixing[@]}" "model.pretrained=$w2v" "${tune[@]}" "${w2v_tune[@]}")
# What speaks of a pre-trained encoder that is tuned means nothing where it is frozen, or there is none.
scratch=(model.freeze_updates=0 model.freeze_blocks=0 model.encoder_rate=1.0 model.block_rate_decay=1.0 criterion.separation_weight=0.0)
head=(model.frozen=true "${scratch[@]}")
start train csc_head sv_aam "${csc_tune[@]}" "${head[@]}"
start train wav2vec2_head sv_aam "${w2v_tune[@]}" "${head[@]}"
start train csc_tuned sv_aam "${csc_tune[@]}"
start train wav2vec2_tuned sv_aam "${w2v_tune[@]}"
start train xvector sv_fbank "${mixing[@]}" "${tune[@]}" "${scratch[@]}"
finish

# --- evaluation ------------------------------------------------------------------------------------------------------------------
# wav2vec 2.0 without a head: the layer that does best on development speakers, over clean and interfered trials.
layers=$("$python" -c 'import sys; from csc_fairseq.checkpoints.checkpoint import read_checkpoint
print(read_checkpoint(sys.argv[1]).options.whole("encoder_layers"))' "$w2v")
choices=()
for layer in $(seq "$layers"); do choices+=(--encoder "$layer=$w2v,layer=$layer"); done
printf '%s\n' '- {name: clean}' '- {name: talker 0 dB, talkers: 1, sir_db: 0}' > "$out/dev_conditions.yaml"
waiting csc evaluate "${choices[@]}" --manifest "$manifests/dev.tsv" --conditions "$out/dev_conditions.yaml" --out "$out/layers"
layer=$("$python" - "$out/layers/results.json" << 'END'
import json
import sys
from collections import defaultdict

rates = defaultdict(float)
for result in json.load(open(sys.argv[1]))["results"]:
    rates[result["encoder"]] += result["eer"]["value"]
print(min(rates, key=rates.get))
END
)
echo "wav2vec 2.0: layer $layer of $layers, chosen on $manifests/dev.tsv"

waiting csc evaluate --encoder "csc_tuned=$out/csc_tuned/$best" --encoder "csc_head=$out/csc_head/$best" --encoder "csc=$csc" \
  --encoder "wav2vec2_tuned=$out/wav2vec2_tuned/$best" --encoder "wav2vec2_head=$out/wav2vec2_head/$best" \
  --encoder "wav2vec2=$w2v,layer=$layer" --encoder "xvector=$out/xvector/$best" --encoder mfcc \
  --manifest "$manifests/test.tsv" --train "$manifests/train.tsv" "${conditions[@]}" "${evaluate[@]}" --out "$out/evaluation"

trained=("csc=$csc" "wav2vec2=$w2v")
for name in csc_head wav2vec2_head csc_tuned wav2vec2_tuned xvector; do trained+=("$name=$out/$name/$last"); done
"$python" "$here/budgets.py" "${trained[@]}" | tee "$out/budgets.md"
