# What the scripts of this folder share; they source it. `out` is their folder, `contents` a checksum of what they train on.

fail() { echo "$(basename "$0"): $*" >&2; exit 2; }

[ "${BASH_VERSINFO[0]}" -ge 5 ] || fail "bash ${BASH_VERSION} found, 5 or newer needed"
for program in csc fairseq-hydra-train; do
  command -v "$program" > /dev/null || fail "$program: not found; activate the environment that csc-fairseq is installed in"
done
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=passive

# Every job is a process group of its own, which ends as a whole: a training left alone would go on writing beside the next one.
set -m
stop() {
  trap - INT TERM EXIT
  local job
  for job in $(jobs -p); do kill -TERM -- "-$job" 2> /dev/null || true; done
  wait
  exit "$1"
}
trap 'stop 130' INT
trap 'stop 143' TERM
trap 'stop $?' EXIT

# waiting COMMAND...: in the background, since bash hears no signal before a command in the foreground has ended.
waiting() { "$@" & wait $!; }

# folders DATA OUT: the absolute paths `data` and `out`.
folders() {
  [ -d "$1" ] || fail "$1: no such folder"
  data=$(cd "$1" && pwd)
  mkdir -p "$2"
  out=$(cd "$2" && pwd)
  case "$data$out" in *[,\(\)=\#\ ]*) fail "$data, $out: the training command takes no paths with blanks or , ( ) = #" ;; esac
}

# labelled_test: TEST from the environment is empty, or a manifest with speaker labels.
labelled_test() { [ -z "${TEST:-}" ] || [ -f "${TEST%.tsv}.spk" ] || fail "TEST=$TEST: has no speaker labels (${TEST%.tsv}.spk)"; }

# mixing_options FOLDER: the options `mixing`, for its noise and room responses.
mixing_options() {
  local kind
  mixing=()
  for kind in noise rir; do
    if [ -f "$1/$kind.tsv" ]; then mixing+=("task.$kind=$1/$kind.tsv"); fi
  done
}

# once FOLDER WORD...: whether a step is still to be done; refuses a folder where it was done, or begun, in another way.
once() {
  local folder=$1
  shift
  mkdir -p "$folder"
  if [ -f "$folder/command" ] && [ "$(< "$folder/command")" != "$*" ]; then
    fail "$folder was made with other options or files; take another OUT, or remove that folder. It has: $(< "$folder/command")"
  fi
  printf '%s\n' "$*" > "$folder/command"
  [ ! -f "$folder/complete" ]
}

# checksum FILE...: of those that are there.
checksum() {
  local file
  for file in "$@"; do [ ! -f "$file" ] || cat "$file"; done | cksum
}

# train NAME CONFIG OPTION...: into OUT/NAME, unless it is complete; its output goes to OUT/NAME.log.
train() {
  local name=$1 config=$2 word files="manifests $contents"
  shift 2
  for word in "$@"; do
    case "$word" in
      model.pretrained=*)
        [ -f "${word#*=}" ] || fail "${word#*=}: no such checkpoint"
        files+=", pre-trained $(cksum < "${word#*=}")" ;;
    esac
  done
  if ! once "$out/$name" "$config" "$@" "($files)"; then return; fi
  echo "$name: training, see $out/$name.log"
  if ! fairseq-hydra-train --config-name "$config" "hydra.run.dir=$out/$name" "$@" >> "$out/$name.log" 2>&1; then
    echo "$name: failed, the end of $out/$name.log is:" >&2
    tail -n 5 "$out/$name.log" | cut -c 1-400 >&2
    return 1
  fi
  touch "$out/$name/complete"
}
