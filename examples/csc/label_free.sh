#!/usr/bin/env bash
# Speaker embeddings from recordings that nobody has labelled: pre-training, clustering, training on the clusters. `label_free.sh` prints help.
set -euo pipefail

usage() {
  cat >&2 << 'END'
usage: examples/csc/label_free.sh DATA OUT

DATA  a folder of recordings, in any folders below it, or of manifests: train.tsv and valid.tsv, and noise.tsv and rir.tsv where there are any
OUT   everything else; the same command goes on where it was stopped. The encoder of the last round: OUT/roundN/checkpoints/checkpoint_last.pt

First a recording is an identity, and its two views find each other among all talkers of a batch. Then each round groups the recordings
by the last encoder's embeddings (`csc cluster`) and goes on training with these groups as identities, so that views come from other
recordings. No step reads a speaker label; where there are some (train.spk, valid.spk), purity and NMI of the clusters are printed. Each
training runs on one thread unless OMP_NUM_THREADS says otherwise. Also from the environment:
  ROUNDS                          rounds of clustering (1)
  CONFIG                          configuration of all trainings (csc_small_unlabelled)
  OPTIONS, FIRST, NEXT            further options of all trainings, of the first one, of those on clusters
  CLUSTER                         further options of csc cluster
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
rounds=${ROUNDS:-1} config=${CONFIG:-csc_small_unlabelled}
[[ $rounds =~ ^(0|[1-9][0-9]*)$ ]] || fail "ROUNDS=$rounds: not a number of rounds"
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
waiting train round0 "$config" "task.data=$manifests" "${mixing[@]}" "${OPTIONS[@]}" "${FIRST[@]}"
for ((round = 1; round <= rounds; round++)); do
  previous=$(last $((round - 1))) clusters=$out/clusters$round
  [ -f "$previous" ] || fail "$previous: is gone; remove $out/round$((round - 1)) to train it again"
  contents=$(checksum "${heard[@]}")
  if once "$clusters" "${CLUSTER[@]}" "(manifests $contents, encoder $(cksum < "$previous"))"; then
    for split in train valid; do
      for suffix in tsv spk; do
        if [ -f "$manifests/$split.$suffix" ]; then cp "$manifests/$split.$suffix" "$clusters"; fi
      done
    done
    echo "round $round: clustering, see $clusters/clusters.txt"
    waiting csc cluster "$clusters/train.tsv" "$clusters/valid.tsv" --model "$previous" --force "${CLUSTER[@]}" > "$clusters/clusters.txt"
    grep -E "^[0-9]+ clusters of|^against" "$clusters/clusters.txt"
    touch "$clusters/complete"
  fi
  contents=$(checksum "${heard[@]}" "$clusters/train.cluster" "$clusters/valid.cluster")
  waiting train "round$round" "$config" "task.data=$clusters" "${mixing[@]}" "${OPTIONS[@]}" task.identity=cluster \
    "model.pretrained=$previous" "${NEXT[@]}"
done

# --- evaluation ------------------------------------------------------------------------------------------------------------------
if [ -n "${TEST:-}" ]; then
  encoders=()
  for ((round = 0; round <= rounds; round++)); do encoders+=(--encoder "round$round=$(last "$round")"); done
  waiting csc evaluate "${encoders[@]}" --manifest "$TEST" "${EVALUATE[@]}" --out "$out/evaluation"
fi
echo "the encoder: $(last "$rounds")"
