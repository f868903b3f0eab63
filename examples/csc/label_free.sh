#!/usr/bin/env bash
# Speaker embeddings from recordings that nobody has labelled: clustering, training on the clusters, and again. `label_free.sh` prints help.
set -euo pipefail

usage() {
  cat >&2 << 'END'
usage: examples/csc/label_free.sh DATA OUT

DATA  a folder of recordings, in any folders below it, or of manifests: train.tsv and valid.tsv, and noise.tsv and rir.tsv where there are any
OUT   everything else; the same command goes on where it was stopped. The encoder of the last round: OUT/roundN/checkpoints/checkpoint_last.pt

A round groups the recordings by voice (`csc cluster`) and trains with these groups as identities, so that the views of a voice come from
several recordings; a later round goes on from the encoder of the one before. No step reads a speaker label; where there are some
(train.spk, valid.spk), purity and NMI of the clusters are printed. Each training runs on one thread unless OMP_NUM_THREADS says otherwise.
Also from the environment:
  ROUNDS                          a word for each round, by what it groups (mfcc mfcc). mfcc: cepstra, which nobody has to train; encoder: the
                                  encoder of the round before; none: each recording is an identity of its own
  NOISE, RIR                      folders of noises and of room responses, where DATA holds recordings
  CONFIG                          configuration of all trainings (csc_small_unlabelled)
  OPTIONS, FIRST, NEXT            further options of all trainings, of the first one, of the later ones. By default the first has
                                  2 800 updates and the later ones 5 000, with talkers from the start, and a talker is sought among all
                                  groups (model.global_vectors=table), not among those of a batch
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
read -ra rounds <<< "${ROUNDS:-mfcc mfcc}"
config=${CONFIG:-csc_small_unlabelled} CLUSTER=${CLUSTER:---per-cluster 8}
first=(optimization.max_update=2800) next=(optimization.max_update=5000 task.single_talker_share_start=null model.global_vectors=table)
[ ${#rounds[@]} -gt 0 ] || fail "ROUNDS is empty; expected a word for each round: mfcc, encoder or none"
for word in "${rounds[@]}"; do
  case "$word" in mfcc | encoder | none) ;; *) fail "ROUNDS has '$word'; expected mfcc, encoder or none" ;; esac
done
[ "${rounds[0]}" != encoder ] || fail "ROUNDS begins with encoder, but no round comes before; begin with mfcc or none"
labelled_test
for name in NOISE RIR; do
  [ -z "${!name:-}" ] || [ -d "${!name}" ] || fail "$name=${!name}: no such folder"
done
for name in OPTIONS FIRST NEXT CLUSTER EVALUATE; do
  [[ ${!name:-} != *$'\n'* ]] || fail "$name: has a line break; write its options in one line"
  read -ra "${name?}" <<< "${!name:-}"
done

# --- manifests -------------------------------------------------------------------------------------------------------------------
if [ -f "$data/train.tsv" ]; then
  manifests=$data
  [ -z "${NOISE:-}${RIR:-}" ] || fail "$data holds manifests; NOISE and RIR go beside a folder of recordings, here write noise.tsv and rir.tsv"
  [ -f "$data/valid.tsv" ] || fail "$data/valid.tsv: not found; hold recordings out with \`csc prepare … --valid-for utterance\`"
else
  manifests=$out/manifests
  if once "$manifests" "$data" "${NOISE:-}" "${RIR:-}"; then
    waiting csc prepare audio "$data" --valid-for utterance --min-seconds 0.5 --out "$manifests/train.tsv"
    [ -z "${NOISE:-}" ] || waiting csc prepare audio "$NOISE" --out "$manifests/noise.tsv"
    [ -z "${RIR:-}" ] || waiting csc prepare audio "$RIR" --out "$manifests/rir.tsv"
    touch "$manifests/complete"
  fi
fi
mixing_options "$manifests"
heard=("$manifests/train.tsv" "$manifests/valid.tsv" "$manifests/noise.tsv" "$manifests/rir.tsv")
contents=$(checksum "${heard[@]}")

# --- rounds ----------------------------------------------------------------------------------------------------------------------
last() { echo "$out/round$1/checkpoints/checkpoint_last.pt"; }
for ((round = 1; round <= ${#rounds[@]}; round++)); do
  by=${rounds[round - 1]} previous=$(last $((round - 1))) folder=$manifests identity=utterance
  [ "$round" -eq 1 ] || [ -f "$previous" ] || fail "$previous: is gone; remove $out/round$((round - 1)) to train it again"
  if [ "$by" != none ]; then
    folder=$out/clusters_mfcc identity=cluster model=mfcc
    if [ "$by" = encoder ]; then folder=$out/clusters$round model=$previous by="encoder $(cksum < "$previous")"; fi
    contents=$(checksum "${heard[@]}")
    if once "$folder" "${CLUSTER[@]}" "(manifests $contents, $by)"; then
      for split in train valid; do
        for suffix in tsv spk; do
          if [ -f "$manifests/$split.$suffix" ]; then cp "$manifests/$split.$suffix" "$folder"; fi
        done
      done
      echo "round $round: clustering, see $folder/clusters.txt"
      waiting csc cluster "$folder/train.tsv" "$folder/valid.tsv" --model "$model" --force "${CLUSTER[@]}" > "$folder/clusters.txt"
      grep -E "^[0-9]+ clusters of|^against" "$folder/clusters.txt"
      touch "$folder/complete"
    fi
  fi
  contents=$(checksum "${heard[@]}" "$folder/train.cluster" "$folder/valid.cluster")
  own=("${first[@]}" "${OPTIONS[@]}" "${FIRST[@]}")
  [ "$round" -eq 1 ] || own=("model.pretrained=$previous" "${next[@]}" "${OPTIONS[@]}" "${NEXT[@]}")
  waiting train "round$round" "$config" "task.data=$folder" "task.identity=$identity" "${mixing[@]}" "${own[@]}"
done

# --- evaluation ------------------------------------------------------------------------------------------------------------------
if [ -n "${TEST:-}" ]; then
  encoders=()
  for ((round = 1; round <= ${#rounds[@]}; round++)); do encoders+=(--encoder "round$round=$(last "$round")"); done
  waiting csc evaluate "${encoders[@]}" --manifest "$TEST" "${EVALUATE[@]}" --out "$out/evaluation"
fi
echo "the encoder: $(last "${#rounds[@]}")"
