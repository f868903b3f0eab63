#!/usr/bin/env bash
# Speaker embeddings from recordings that nobody has labelled: clustering, training on the clusters, and again. `label_free.sh` prints help.
set -euo pipefail

usage() {
  cat >&2 << 'END'
usage: examples/csc/label_free.sh DATA OUT

DATA  a folder of recordings, in any folders below it, or of manifests: train.tsv and valid.tsv, and noise.tsv and rir.tsv where there are any
OUT   everything else; the same command goes on where it was stopped. The encoder of the last round: OUT/roundN/checkpoints/checkpoint_last.pt

Each round groups the recordings by voice (`csc cluster`) and trains with these groups as identities, so that the views of a voice come
from several recordings. The first round groups by cepstra, which nobody has to train, as HuBERT begins; each later one by the encoder of
the round before, and goes on from it. No step reads a speaker label; where there are some (train.spk, valid.spk), purity and NMI of the
clusters are printed. Each training runs on one thread unless OMP_NUM_THREADS says otherwise. Also from the environment:
  ROUNDS                          rounds (2)
  START                           mfcc: as above (the default). utterance: before the first round, a training in which each recording is an
                                  identity, OUT/round0; the first round groups by its encoder
  CONFIG                          configuration of all trainings (csc_small_unlabelled)
  OPTIONS, FIRST                  further options of all trainings, of the first one
  NEXT                            further options of the later ones (task.single_talker_share_start=null: with talkers from the start)
  CLUSTER                         options of csc cluster (--per-cluster 8)
  TEST                            a manifest with speaker labels: the table of error rates by round, OUT/evaluation/results.md
  EVALUATE                        further options of csc evaluate
END
  exit 2
}

[ $# -eq 2 ] || usage
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=steps.sh
source "$here/steps.sh"
folders "$1" "$2"
rounds=${ROUNDS:-2} start=${START:-mfcc} config=${CONFIG:-csc_small_unlabelled} CLUSTER=${CLUSTER:---per-cluster 8}
NEXT=${NEXT:-task.single_talker_share_start=null}
[[ $rounds =~ ^(0|[1-9][0-9]*)$ ]] || fail "ROUNDS=$rounds: not a number of rounds"
case "$start" in
  mfcc) first=1; [ "$rounds" -gt 0 ] || fail "ROUNDS=0: trains nothing; START=utterance needs no round" ;;
  utterance) first=0 ;;
  *) fail "START=$start: expected mfcc or utterance" ;;
esac
[ -z "${TEST:-}" ] || [ -f "${TEST%.tsv}.spk" ] || fail "TEST=$TEST: has no speaker labels (${TEST%.tsv}.spk)"
for name in OPTIONS FIRST NEXT CLUSTER EVALUATE; do
  [[ ${!name:-} != *$'\n'* ]] || fail "$name: has a line break; write its options in one line"
  read -ra "${name?}" <<< "${!name:-}"
done

# --- manifests -------------------------------------------------------------------------------------------------------------------
if [ -f "$data/train.tsv" ]; then
  manifests=$data
  [ -f "$data/valid.tsv" ] || fail "$data/valid.tsv: not found; hold recordings out with \`csc prepare … --valid-for utterance\`"
else
  manifests=$out/manifests
  if once "$manifests" "$data"; then
    waiting csc prepare audio "$data" --valid-for utterance --min-seconds 0.5 --out "$manifests/train.tsv"
    touch "$manifests/complete"
  fi
fi
mixing=()
for kind in noise rir; do
  if [ -f "$manifests/$kind.tsv" ]; then mixing+=("task.$kind=$manifests/$kind.tsv"); fi
done
heard=("$manifests/train.tsv" "$manifests/valid.tsv" "$manifests/noise.tsv" "$manifests/rir.tsv")
contents=$(checksum "${heard[@]}")

# --- rounds ----------------------------------------------------------------------------------------------------------------------
last() { echo "$out/round$1/checkpoints/checkpoint_last.pt"; }
# training ROUND DATA OPTION...: with the options of the first training or of a later one.
training() {
  local round=$1 manifests=$2
  shift 2
  if [ "$round" -eq "$first" ]; then set -- "$@" "${FIRST[@]}"; else set -- "$@" "model.pretrained=$(last $((round - 1)))" "${NEXT[@]}"; fi
  waiting train "round$round" "$config" "task.data=$manifests" "${mixing[@]}" "${OPTIONS[@]}" "$@"
}
[ "$first" -eq 1 ] || training 0 "$manifests" task.identity=utterance
for ((round = 1; round <= rounds; round++)); do
  model=mfcc by=mfcc clusters=$out/clusters$round
  if [ "$round" -gt "$first" ]; then
    model=$(last $((round - 1)))
    [ -f "$model" ] || fail "$model: is gone; remove $out/round$((round - 1)) to train it again"
    by="encoder $(cksum < "$model")"
  fi
  contents=$(checksum "${heard[@]}")
  if once "$clusters" "${CLUSTER[@]}" "(manifests $contents, $by)"; then
    for split in train valid; do
      for suffix in tsv spk; do
        if [ -f "$manifests/$split.$suffix" ]; then cp "$manifests/$split.$suffix" "$clusters"; fi
      done
    done
    echo "round $round: clustering, see $clusters/clusters.txt"
    waiting csc cluster "$clusters/train.tsv" "$clusters/valid.tsv" --model "$model" --force "${CLUSTER[@]}" > "$clusters/clusters.txt"
    grep -E "^[0-9]+ clusters of|^against" "$clusters/clusters.txt"
    touch "$clusters/complete"
  fi
  contents=$(checksum "${heard[@]}" "$clusters/train.cluster" "$clusters/valid.cluster")
  training "$round" "$clusters" task.identity=cluster
done

# --- evaluation ------------------------------------------------------------------------------------------------------------------
if [ -n "${TEST:-}" ]; then
  encoders=()
  for ((round = first; round <= rounds; round++)); do encoders+=(--encoder "round$round=$(last "$round")"); done
  waiting csc evaluate "${encoders[@]}" --manifest "$TEST" "${EVALUATE[@]}" --out "$out/evaluation"
fi
echo "the encoder: $(last "$rounds")"
