#!/usr/bin/env bash
# CSC against wav2vec 2.0, MFCCs and a supervised x-vector on equal terms: the same recordings, head, fine-tuning and budget.
#
#   examples/csc/compare.sh DATA OUT
#
# DATA  a folder of manifests (train, valid, dev, test with .spk; noise, rir, test_noise, test_rir where there are any), or recordings:
#       speech/CORPUS/SPEAKER/…, speakers.tsv (corpus, speaker, split), and perhaps noise/ with noise.tsv (name, split) and rir/
# OUT   everything else; the same command goes on where it was stopped. The table is OUT/evaluation/report.html and results.md
#
# Pre-trains both encoders or takes CSC=checkpoint.pt and W2V=checkpoint.pt, trains a head on each while it is frozen, tunes each, and
# evaluates them all. Two trainings run at a time, each on one thread unless OMP_NUM_THREADS says otherwise. Also from the environment:
#   CSC_CONFIG, W2V_CONFIG         configurations of the pre-training (csc_small, wav2vec2_small)
#   CSC_OPTIONS, W2V_OPTIONS       further options of the pre-trainings
#   TUNE                           further options of the fine-tunings
#   CSC_POOLING                    what the head of CSC starts from (own: its own embedding)
#   EVALUATE                       further options of csc evaluate
set -euo pipefail

if [ $# -ne 2 ]; then
  sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2
  exit 2
fi
for given in "${CSC:-}" "${W2V:-}"; do
  if [ -n "$given" ] && [ ! -f "$given" ]; then echo "compare.sh: $given: no such checkpoint (CSC, W2V)" >&2; exit 2; fi
done
data=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
CSC_CONFIG=${CSC_CONFIG:-csc_small} W2V_CONFIG=${W2V_CONFIG:-wav2vec2_small}
CSC_POOLING=${CSC_POOLING:-own}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=passive
read -ra csc_options <<< "${CSC_OPTIONS:-}"
read -ra w2v_options <<< "${W2V_OPTIONS:-}"
read -ra tune <<< "${TUNE:-}"
read -ra evaluate <<< "${EVALUATE:-}"

# --- manifests -------------------------------------------------------------------------------------------------------------------
if [ -f "$data/train.tsv" ]; then
  manifests=$data
else
  manifests=$out/manifests
  if [ ! -f "$manifests/.complete" ]; then
    csc prepare folders "$data/speech" --speaker-level 2 --splits "$data/speakers.tsv" --ignore-missing --valid-per-speaker 2 \
      --min-seconds 0.5 --out "$manifests"
    if [ -f "$data/noise.tsv" ]; then
      csc prepare audio "$data/noise" --list "$data/noise.tsv" --split train --out "$manifests/noise.tsv"
      csc prepare audio "$data/noise" --list "$data/noise.tsv" --split test --out "$manifests/test_noise.tsv"
    fi
    if [ -d "$data/rir" ]; then
      # The last quarter of the rooms, in the order of their names, is for the test.
      find "$data/rir" -name '*.flac' -o -name '*.wav' | sed 's|.*/||; s|\.[^.]*$||' | LC_ALL=C sort > "$out/rooms.txt"
      awk -v count="$(wc -l < "$out/rooms.txt")" \
        'BEGIN { print "name\tsplit" } { print $0 "\t" (NR > count * 3 / 4 ? "test" : "train") }' "$out/rooms.txt" > "$out/rooms.tsv"
      csc prepare audio "$data/rir" --list "$out/rooms.tsv" --split train --out "$manifests/rir.tsv"
      csc prepare audio "$data/rir" --list "$out/rooms.tsv" --split test --out "$manifests/test_rir.tsv"
    fi
    touch "$manifests/.complete"
  fi
fi
mixing=("task.data=$manifests") conditions=()
for kind in noise rir; do
  if [ -f "$manifests/$kind.tsv" ]; then mixing+=("task.$kind=$manifests/$kind.tsv"); fi
done
if [ -f "$manifests/test_noise.tsv" ]; then conditions+=(--noise "other=$manifests/test_noise.tsv"); fi
if [ -f "$manifests/test_rir.tsv" ]; then conditions+=(--rir "$manifests/test_rir.tsv"); fi

# --- training --------------------------------------------------------------------------------------------------------------------
# train NAME CONFIG OPTION...: into OUT/NAME, unless it is complete; its output goes to OUT/NAME.log.
train() {
  local name=$1 config=$2
  shift 2
  if [ -f "$out/$name/complete" ]; then return; fi
  echo "$name: training, see $out/$name.log"
  if ! fairseq-hydra-train --config-name "$config" "hydra.run.dir=$out/$name" "$@" >> "$out/$name.log" 2>&1; then
    echo "$name: failed, the end of $out/$name.log is:" >&2
    tail -n 5 "$out/$name.log" | cut -c 1-400 >&2
    return 1
  fi
  touch "$out/$name/complete"
}

# both COMMAND... -- COMMAND...: at the same time; fails if either fails.
both() {
  local first=()
  while [ "$1" != -- ]; do first+=("$1"); shift; done
  shift
  "${first[@]}" & local one=$!
  "$@" & local two=$!
  local status=0
  wait "$one" || status=1
  wait "$two" || status=1
  return "$status"
}

csc=${CSC:-$out/csc/checkpoints/checkpoint_last.pt} w2v=${W2V:-$out/wav2vec2/checkpoints/checkpoint_last.pt}
pretrain_csc() { [ -n "${CSC:-}" ] || train csc "$CSC_CONFIG" "${mixing[@]}" "${csc_options[@]}"; }
pretrain_w2v() { [ -n "${W2V:-}" ] || train wav2vec2 "$W2V_CONFIG" "task.data=$manifests" "${w2v_options[@]}"; }
both pretrain_csc -- pretrain_w2v

head=(model.frozen=true model.freeze_updates=0 model.freeze_blocks=0 model.encoder_rate=1.0 model.block_rate_decay=1.0)
both train csc_head sv_aam "${mixing[@]}" "model.pretrained=$csc" "model.pooling=$CSC_POOLING" "${head[@]}" "${tune[@]}" \
  -- train wav2vec2_head sv_wav2vec2 "${mixing[@]}" "model.pretrained=$w2v" "${head[@]}" "${tune[@]}"
both train csc_tuned sv_aam "${mixing[@]}" "model.pretrained=$csc" "model.pooling=$CSC_POOLING" "${tune[@]}" \
  -- train wav2vec2_tuned sv_wav2vec2 "${mixing[@]}" "model.pretrained=$w2v" "${tune[@]}"
train xvector sv_fbank "${mixing[@]}" "${tune[@]}"

# --- evaluation ------------------------------------------------------------------------------------------------------------------
# wav2vec 2.0 without a head: the layer that does best on development speakers, over clean and interfered trials.
layers=$(python3 -c 'import sys, torch; print(torch.load(sys.argv[1], weights_only=True)["cfg"]["model"]["encoder_layers"])' "$w2v")
choices=()
for layer in $(seq "$layers"); do choices+=(--encoder "$layer=$w2v,layer=$layer"); done
printf '%s\n' '- {name: clean}' '- {name: talker 0 dB, talkers: 1, sir_db: 0}' > "$out/dev_conditions.yaml"
csc evaluate "${choices[@]}" --manifest "$manifests/dev.tsv" --conditions "$out/dev_conditions.yaml" "${evaluate[@]}" --out "$out/layers"
layer=$(python3 - "$out/layers/results.json" << 'END'
import json
import sys
from collections import defaultdict

rates = defaultdict(float)
for cell in json.load(open(sys.argv[1]))["cells"]:
    rates[cell["encoder"]] += cell["eer"]["value"]
print(min(rates, key=rates.get))
END
)
echo "wav2vec 2.0: layer $layer of $layers, chosen on $manifests/dev.tsv"

best=checkpoints/checkpoint_best.pt
csc evaluate --encoder "csc_tuned=$out/csc_tuned/$best" --encoder "csc_head=$out/csc_head/$best" --encoder "csc=$csc" \
  --encoder "wav2vec2_tuned=$out/wav2vec2_tuned/$best" --encoder "wav2vec2_head=$out/wav2vec2_head/$best" \
  --encoder "wav2vec2=$w2v,layer=$layer" --encoder "xvector=$out/xvector/$best" --encoder mfcc \
  --manifest "$manifests/test.tsv" --train "$manifests/train.tsv" "${conditions[@]}" "${evaluate[@]}" --out "$out/evaluation"

echo "wall time of the trainings (seconds, each on $OMP_NUM_THREADS thread):"
grep -H -o 'done training in [0-9.]*' "$out"/*.log | sed 's|.*/||; s|\.log:done training in | |' | tee "$out/wall_time.txt"
