#!/usr/bin/env bash
# What each part of the method brings: one short training a row, the same updates, mixtures and seeds. `ablations.sh` prints help.
set -euo pipefail

usage() {
  cat >&2 << 'END'
usage: examples/csc/ablations.sh DATA OUT

DATA  a folder of manifests: train.tsv and valid.tsv with .spk and .cluster (`csc cluster`) beside them, and noise.tsv, rir.tsv
OUT   everything else; the same command goes on where it was stopped. The table: OUT/seedN/evaluation/results.md; seconds, a line each start: OUT/seedN/ROW.time

Every row changes the first one, `base`: csc_small_unlabelled with task.identity=cluster. Each training runs on one thread unless
OMP_NUM_THREADS says otherwise. Also from the environment:
  ROWS                            which rows, in this order (all)
  SEED                            of the trainings (1)
  UPDATES                         of each row (1000)
  CONFIG, OPTIONS                 configuration of all rows (csc_small_unlabelled), further options of all rows
  TEST                            a manifest with speaker labels: the table of error rates
  EVALUATE                        further options of csc evaluate
END
  exit 2
}

[ $# -eq 2 ] || usage
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=steps.sh
source "$here/steps.sh"
folders "$1" "$2"

declare -A changes=(
  [base]=""
  # Tasks. An optimizer that divides by the size of gradients learns identification alone if it outweighs separation by far; what only
  # separation needs still follows, so that streams have their talkers.
  [separation_alone]="criterion.contrastive_weight=0"
  [identification_alone]="criterion.contrastive_weight=1000"
  # Identities.
  [utterance]="task.identity=utterance"
  [speaker]="task.identity=speaker"
  # Interferers: single talkers without and with noise and rooms, then all but noise and rooms.
  [alone]="task.single_talker_share=1.0 task.noise_probability=0.0 task.rir_probability=0.0"
  [noise_only]="task.single_talker_share=1.0"
  [talkers_only]="task.noise_probability=0.0 task.rir_probability=0.0"
  # Global vectors and cross-attention. Three views of five recordings are as much speech as two of eight.
  [mean_of_views]="task.views=3 dataset.batch_size=5"
  [attention_to_views]="task.views=3 dataset.batch_size=5 model.view_aggregate=attention"
  [table]="model.global_vectors=table"
  [table_mean]="model.global_vectors=table_mean"
  [bank]="model.global_vectors=table model.memory=bank"
  [conditions]="model.global_vectors=table model.memory=conditions"
)
order="base separation_alone identification_alone utterance speaker alone noise_only talkers_only table table_mean bank conditions mean_of_views attention_to_views"
read -ra rows <<< "${ROWS:-$order}"
for row in "${rows[@]}"; do
  [ -n "${changes[$row]+known}" ] || fail "ROWS has '$row'; known: $order"
done
for split in train valid; do
  [ -f "$data/$split.cluster" ] || fail "$data/$split.cluster: not found; make it with \`csc cluster $data/train.tsv $data/valid.tsv --model mfcc\`"
done
labelled_test
seed=${SEED:-1} updates=${UPDATES:-1000} config=${CONFIG:-csc_small_unlabelled}
read -ra options <<< "${OPTIONS:-}"
read -ra evaluate <<< "${EVALUATE:-}"

mixing_options "$data"
out=$out/seed$seed
mkdir -p "$out"
contents=$(checksum "$data"/{train,valid,noise,rir}.tsv "$data"/{train,valid}.{spk,cluster})
TIMEFORMAT='%U s user, %S s system, %R s wall'
encoders=()
for row in "${rows[@]}"; do
  read -ra change <<< "${changes[$row]}"
  # The share of single talkers falls within the first epoch: a short training must hear what it is compared for.
  { time waiting train "$row" "$config" "task.data=$data" "${mixing[@]}" task.identity=cluster task.curriculum_epochs=1 \
    "common.seed=$seed" "task.seed=$seed" "optimization.max_update=$updates" "${change[@]}" "${options[@]}" 2>&3; } 3>&2 2>> "$out/$row.time"
  encoders+=(--encoder "$row=$out/$row/checkpoints/checkpoint_last.pt")
done
if [ -n "${TEST:-}" ]; then waiting csc evaluate "${encoders[@]}" --manifest "$TEST" "${evaluate[@]}" --out "$out/evaluation"; fi
